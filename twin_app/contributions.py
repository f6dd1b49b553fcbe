"""What a scene may add to the inventory, and under which name it stands there.

Pure: an offer and the present inventory in, new rows and one verdict per offer out. What a scene calls its things is
text of strangers: it is bounded, and only letters and digits of it reach an id.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twin.entities import Kind
from twin.ports import EntityVerdict
from twin.topology import Entity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twin.ports import OfferedEntity
    from twin.topology import Topology

MOST_ENTITIES = 10_000
"""Entities that one scene may add."""
MOST_CHARACTERS = 128
"""Of a local id and of a name."""
SLUG_CHARACTERS = 48
FARTHEST_M = 100_000.0
KINDS = (Kind.PLACE, Kind.BUILDING)
"""Things to see and to name. What belongs to the network (sites, cells, UEs, slices, links) is the scenario's."""
LOCAL_ID = "local_id"
"""Property of every contributed entity: what the scene calls it."""


def taken_in(offered: Sequence[OfferedEntity], topology: Topology) -> tuple[list[Entity], list[EntityVerdict]]:
    """Return the rows that are new or changed, and a verdict for each offer, in order.

    A local id that was taken in before keeps its id and index; another name or place replaces the earlier one.
    """
    known = {str(one.properties[LOCAL_ID]): one for one in topology.entities if LOCAL_ID in one.properties}
    ids = {one.id for one in topology.entities}
    next_index = topology.next_index
    rows: dict[int, Entity] = {}
    verdicts: list[EntityVerdict] = []
    for offer in offered:
        reason = _objection(offer, known)
        if reason:
            verdicts.append(EntityVerdict(local_id=offer.local_id, entity_id="", index=0, reason=reason))
            continue
        position_m = (float(offer.position_m[0]), float(offer.position_m[1]), float(offer.position_m[2]))
        old = known.get(offer.local_id)
        if old is None:
            entity_id = _free_id(offer, ids)
            row = Entity(
                index=next_index,
                id=entity_id,
                kind=Kind(offer.kind),
                name=offer.name.strip() or entity_id.replace("-", " "),
                position_m=position_m,
                properties={LOCAL_ID: offer.local_id},
            )
            next_index += 1
            ids.add(entity_id)
        else:
            row = replace(old, name=offer.name.strip() or old.name, position_m=position_m)
        if row != old:
            rows[row.index] = row
            known[offer.local_id] = row
        verdicts.append(EntityVerdict(local_id=offer.local_id, entity_id=row.id, index=row.index))
    return list(rows.values()), verdicts


def _objection(offer: OfferedEntity, known: Mapping[str, Entity]) -> str:
    if not offer.local_id or max(len(offer.local_id), len(offer.name)) > MOST_CHARACTERS:
        return f"a local id has 1 to {MOST_CHARACTERS} characters and a name no more"
    if offer.kind not in {kind.value for kind in KINDS}:
        return (
            f"a scene cannot add `{offer.kind[:40]}`, only {', '.join(kind.value for kind in KINDS)}; the network"
            " itself comes from the scenario"
        )
    if not all(math.isfinite(value) and abs(value) <= FARTHEST_M for value in offer.position_m):
        return f"the position is no place within {FARTHEST_M / 1000:g} km of the origin"
    old = known.get(offer.local_id)
    if old is not None:
        if old.kind.value == offer.kind:
            return ""
        return f"it was taken in as `{old.id}`, a {old.kind.value}; give the other thing a local id of its own"
    return f"a scene may add `{MOST_ENTITIES}` entities; this one has" if len(known) >= MOST_ENTITIES else ""


def _free_id(offer: OfferedEntity, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", offer.local_id).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_CHARACTERS].strip("-")
    base = slug if slug.startswith(f"{offer.kind}-") else "-".join(filter(None, (offer.kind, slug)))
    return _unlike(base, taken | {offer.kind})


def _unlike(base: str, taken: set[str]) -> str:
    number, found = 2, base
    while found in taken:
        found = f"{base}-{number}"
        number += 1
    return found


def entity_to_json(entity: Entity) -> dict[str, Any]:
    """Return a contributed entity as a journal fact holds it."""
    return {
        "index": entity.index,
        "id": entity.id,
        "kind": entity.kind.value,
        "name": entity.name,
        "position_m": list(entity.position_m),
        LOCAL_ID: entity.properties[LOCAL_ID],
    }


def entity_of_json(fact: Mapping[str, Any]) -> Entity:
    """Return the entity of a journal fact."""
    east, north, up = fact["position_m"]
    return Entity(
        index=fact["index"],
        id=fact["id"],
        kind=Kind(fact["kind"]),
        name=fact["name"],
        position_m=(east, north, up),
        properties={LOCAL_ID: fact[LOCAL_ID]},
    )


def renumbered(entities: Sequence[Entity], topology: Topology) -> list[Entity]:
    """Return journaled entities with the indices that they have in this inventory, new ones behind the last.

    An index of the journal counts only for as long as the inventory in front of it stays as long as it was: a newer
    version of the twin may number more kinds of things. What holds is the id; should the inventory itself have come
    to use it, the contributed entity gets the next free one.
    """
    known = {str(one.properties[LOCAL_ID]): one for one in topology.entities if LOCAL_ID in one.properties}
    ids = {one.id for one in topology.entities}
    next_index = topology.next_index
    rows: list[Entity] = []
    for entity in entities:
        local_id = str(entity.properties[LOCAL_ID])
        old = known.get(local_id)
        if old is None:
            row = replace(entity, index=next_index, id=_unlike(entity.id, ids))
            next_index += 1
            ids.add(row.id)
            known[local_id] = row
        else:
            row = replace(entity, index=old.index, id=old.id)
        rows.append(row)
    return rows
