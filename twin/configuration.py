"""The managed attributes of a network as they are in force: by entity for orders, by column for the model.

A command reads and writes single values in 3GPP names and units; the parts of the model read whole columns in the
units that people use. Both are views of the same values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.attributes import ATTRIBUTES, attribute, check, to_native
from twin.commands import SetAttribute
from twin.contradictions import check_together
from twin.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from twin.attributes import AttributeValue
    from twin.entities import Kind
    from twin.topology import Topology


class Configuration:
    """What is configured in one network.

    Args:
        topology: Entities with the attributes that they start with.

    Attributes:
        revision: Grows by one with every order that changed something.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.revision = 0
        self._values: dict[str, dict[str, AttributeValue]] = {
            entity.id: dict(entity.attributes) for entity in topology.entities if entity.attributes
        }
        self._ids: dict[Kind, tuple[str, ...]] = {}
        for row in ATTRIBUTES:
            for kind in (row.kind, *row.also):
                if kind not in self._ids:
                    self._ids[kind] = tuple(entity.id for entity in topology.of_kind(kind))
        self._row = {entity_id: row for ids in self._ids.values() for row, entity_id in enumerate(ids)}
        self._kind = {entity_id: kind for kind, ids in self._ids.items() for entity_id in ids}
        self._columns: dict[tuple[Kind, str], NDArray[np.generic]] = {}
        self._revisions: dict[str, int] = {}

    def ids(self, kind: Kind) -> tuple[str, ...]:
        """Return the entities of a kind in the order of their columns, which is that of the scenario."""
        return self._ids.get(kind, ())

    def adopt(self, topology: Topology) -> None:
        """Take a newer inventory for the words of errors; values change by orders only."""
        self._topology = topology

    def numbers(self, name: str, kind: Kind | None = None) -> NDArray[np.float64]:
        """Return one numeric attribute of all entities of its kind, ``[n] float64`` in the unit that people use.

        Read-only; a later order gives another array.
        """
        row = attribute(name)
        where = (row.kind if kind is None else kind, row.name)
        column = self._columns.get(where)
        if column is None:
            values = (self._values[entity_id][row.name] for entity_id in self.ids(where[0]))
            column = np.array([float(to_native(row.name, value)) for value in values], dtype=np.float64)
            column.flags.writeable = False
            self._columns[where] = column
        return column  # type: ignore[return-value]

    def equals(self, name: str, member: str, kind: Kind | None = None) -> NDArray[np.bool_]:
        """Return where an enumeration has this member, ``[n] bool``."""
        row = attribute(name)
        which = row.kind if kind is None else kind
        return np.array([self._values[entity_id][row.name] == member for entity_id in self.ids(which)], dtype=bool)

    def revision_of(self, *names: str) -> int:
        """Return a number that grows whenever a value of one of these attributes changes."""
        return sum(self._revisions.get(name, 0) for name in names)

    def read(self, entity_id: str, name: str) -> AttributeValue:
        """Return the value of a managed attribute in its 3GPP unit.

        Raises:
            UnknownEntity: No such entity.
            UnknownName: The entity has no such attribute.
        """
        values = self._values.get(entity_id)
        if values is None:
            kind = self._topology.get(entity_id).kind
            raise UnknownName(f"`{entity_id}` is a {kind.value} and has no managed attribute `{name}`; cells do")
        if name not in values:
            raise UnknownName(f"`{entity_id}` has no attribute `{name}`; known: {', '.join(values)}")
        return values[name]

    def checked(self, actions: Iterable[SetAttribute]) -> tuple[SetAttribute, ...]:
        """Return actions under their 3GPP names, each allowed by itself.

        Raises:
            UnknownEntity: No such entity.
            UnknownName: The entity has no such attribute.
            OutOfRange: A value that the NRM or the policy forbids, or that contradicts another one.
        """
        checked: list[SetAttribute] = []
        for action in actions:
            name = attribute(action.attribute).name
            self.read(action.entity_id, name)
            value = check(name, action.value)
            checked.append(SetAttribute(entity_id=action.entity_id, attribute=name, value=value))
        check_together(checked, topology=self._topology, values_of=self._values.__getitem__)
        return tuple(checked)

    def write(self, actions: Sequence[SetAttribute]) -> frozenset[str]:
        """Put checked values in force and return the names of the attributes that changed."""
        changed: set[str] = set()
        for action in actions:
            values = self._values[action.entity_id]
            if values[action.attribute] != action.value:
                values[action.attribute] = action.value
                self._columns.pop((self._kind[action.entity_id], action.attribute), None)
                changed.add(action.attribute)
        for name in changed:
            self._revisions[name] = self._revisions.get(name, 0) + 1
        self.revision += bool(changed)
        return frozenset(changed)

    def values(self) -> dict[str, dict[str, AttributeValue]]:
        """Return every value by entity and 3GPP name, as a document."""
        return {entity_id: dict(values) for entity_id, values in self._values.items()}

    def restore(self, document: dict[str, dict[str, AttributeValue]]) -> None:
        """Take the values of a document; entities and attributes that it does not know keep theirs."""
        self.write(
            [
                SetAttribute(entity_id=entity_id, attribute=name, value=value)
                for entity_id, values in document.items()
                for name, value in values.items()
                if name in self._values.get(entity_id, {})
            ]
        )

    def all(self) -> tuple[SetAttribute, ...]:
        """Return every managed attribute as an action that would set it."""
        return tuple(
            SetAttribute(entity_id=entity_id, attribute=name, value=value)
            for entity_id, values in self._values.items()
            for name, value in values.items()
        )
