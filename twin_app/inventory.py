"""The one picture of now: scenario, topology at its current revision, simulated time, and who is connected.

Implements `twin.ports.Inventory`. The configuration is the scenario plus every journaled `topology` fact, so it
is the same after a restart.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twin.commands import SetAttribute
from twin.topology import Topology, topology_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.clock import CivilTime
    from twin.ports import Journal, SceneInfo
    from twin.scenario import Scenario


class LiveInventory:
    """What exists and what time it is.

    Attributes:
        scene: The connected scene, None while there is none.
        live: The scene has told its past and is in the present.
        history_progress: 0..1, how much of the past has been told.
    """

    def __init__(self, *, scenario: Scenario, scene_id: str, civil: CivilTime, journal: Journal) -> None:
        self.scenario = scenario
        self.scene: SceneInfo | None = None
        self.live = False
        self.history_progress = 0.0
        self._scene_id = scene_id
        self._civil = civil
        self._journal = journal
        self._topology = topology_of(scenario)
        self._now_s = 0.0
        self._left_at: float | None = time.monotonic()

    @property
    def scene_id(self) -> str:
        """The scene this is the inventory of."""
        return self._scene_id

    @property
    def topology(self) -> Topology:
        """What exists, at its current revision."""
        return self._topology

    @property
    def civil(self) -> CivilTime:
        """Simulated seconds to civil time of the city."""
        return self._civil

    @property
    def now_s(self) -> float:
        """Simulated time of the last sample."""
        return self._now_s

    @property
    def absent_s(self) -> float | None:
        """Wall seconds without a scene, None while one is connected."""
        return None if self._left_at is None else time.monotonic() - self._left_at

    def note_time(self, sim_time_s: float) -> None:
        """Move now forward to the time of a sample; time never goes back."""
        self._now_s = max(self._now_s, sim_time_s)

    def scene_came(self, scene: SceneInfo) -> None:
        """Remember who is connected."""
        self.scene, self._left_at, self.live = scene, None, False

    def scene_left(self) -> None:
        """Simulated time stands still from now on."""
        self.scene, self._left_at, self.live = None, time.monotonic(), False

    def desired(self) -> tuple[SetAttribute, ...]:
        """Return the configuration that the scene must have."""
        return tuple(
            SetAttribute(entity_id=entity.id, attribute=name, value=value)
            for entity in self._topology.entities
            for name, value in entity.attributes.items()
        )

    async def configure(self, actions: Sequence[SetAttribute], *, change_id: str, why: str) -> None:
        """Journal a new configuration, then make it the current one (one revision further)."""
        fact: dict[str, Any] = {
            "revision": self._topology.revision + 1,
            "change_id": change_id,
            "why": why,
            "sim_time_s": self._now_s,
            "wall_time_s": time.time(),
            "actions": [[a.entity_id, a.attribute, a.value] for a in actions],
        }
        await self._journal.append("topology", [fact])
        self._take(fact)

    async def restore(self) -> None:
        """Replay the journaled configurations on top of the scenario."""
        for _, fact in await self._journal.replay("topology"):
            self._take(fact)

    def _take(self, fact: dict[str, Any]) -> None:
        self._topology = self._topology.with_attributes(
            (entity, name, value) for entity, name, value in fact["actions"]
        )
