"""The one picture of now: scenario, topology at its current revision, simulated time, and who is connected.

Implements `twin.ports.Inventory`. The configuration is the scenario plus every journaled `topology` fact, so it
is the same after a restart.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twin.commands import SetAttribute
from twin.topology import Topology, topology_of
from twin_app.contributions import entity_of_json, entity_to_json, renumbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.clock import CivilTime
    from twin.ports import Journal, SceneInfo
    from twin.scenario import Scenario
    from twin.topology import Entity


FIGURES = "KPI"
"""What a scene provides whose reports are the figures of the network."""


class LiveInventory:
    """What exists and what time it is.

    Attributes:
        live: The scene has told its past and is in the present.
        history_progress: 0..1, how much of the past has been told.
    """

    def __init__(self, *, scenario: Scenario, scene_id: str, civil: CivilTime, journal: Journal) -> None:
        self.scenario = scenario
        self.live = False
        self.history_progress = 0.0
        self._scene_id = scene_id
        self._civil = civil
        self._journal = journal
        self._topology = topology_of(scenario)
        self._now_s = 0.0
        self._left_at: float | None = time.monotonic()
        self._sessions: dict[str, SceneInfo] = {}
        self._live_session = ""

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
    def scene(self) -> SceneInfo | None:
        """Who gives the figures; when nobody does, who shows the scene; None while nobody is connected."""
        return self.figures_from or next(iter(self._sessions.values()), None)

    @property
    def figures_from(self) -> SceneInfo | None:
        """Who gives the figures, None while nobody does."""
        return next((one for one in self._sessions.values() if self._gives_figures(one)), None)

    @property
    def sessions(self) -> tuple[SceneInfo, ...]:
        """Who is connected: one, or one that shows the scene and one that gives its figures."""
        return tuple(self._sessions.values())

    @property
    def absent_s(self) -> float | None:
        """Wall seconds without anybody who gives figures, None while there is one."""
        return None if self._left_at is None else time.monotonic() - self._left_at

    def note_time(self, sim_time_s: float) -> None:
        """Move now forward to the time of a sample; time never goes back."""
        self._now_s = max(self._now_s, sim_time_s)

    def scene_came(self, scene: SceneInfo) -> None:
        """Remember who is connected; a session that is resumed goes on as live as it was."""
        self._sessions[scene.session_id] = scene
        if self._gives_figures(scene):
            self._left_at = None
            self.live = scene.session_id == self._live_session

    def went_live(self) -> None:
        """The one who gives figures has told its past."""
        scene = self.scene
        self._live_session = "" if scene is None else scene.session_id
        self.live, self.history_progress = True, 1.0

    def scene_left(self, scene: SceneInfo) -> None:
        """Simulated time stands still once nobody gives figures."""
        known = self._sessions.pop(scene.session_id, None)
        if known is not None and self._gives_figures(known) and self.figures_from is None:
            self._left_at, self.live = time.monotonic(), False

    @staticmethod
    def _gives_figures(scene: SceneInfo) -> bool:
        return FIGURES in scene.provides

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

    async def contribute(self, entities: Sequence[Entity]) -> None:
        """Journal entities that a scene added or moved, then make them part of the inventory (one revision further)."""
        fact: dict[str, Any] = {
            "revision": self._topology.revision + 1,
            "sim_time_s": self._now_s,
            "wall_time_s": time.time(),
            "entities": [entity_to_json(entity) for entity in entities],
        }
        await self._journal.append("contributed", [fact])
        self._take(fact)

    async def restore(self) -> None:
        """Replay the journaled configurations and contributed entities on top of the scenario, as they came."""
        facts = [*await self._journal.replay("topology"), *await self._journal.replay("contributed")]
        for _, fact in sorted(facts, key=lambda numbered: numbered[0]):
            self._take(fact)

    def _take(self, fact: dict[str, Any]) -> None:
        if "entities" in fact:
            found = [entity_of_json(row) for row in fact["entities"]]
            self._topology = self._topology.with_entities(renumbered(found, self._topology))
            return
        self._topology = self._topology.with_attributes(
            (entity, name, value) for entity, name, value in fact["actions"]
        )
