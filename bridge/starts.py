"""What is known of each scene: what the twin told it last, and which figures fit that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twin.errors import SceneNotNamed, SceneUnavailable

if TYPE_CHECKING:
    from twin.ports import SceneStart
    from twin.telemetry import TelemetryBatch
    from twin.topology import Topology


class Starts:
    """The starts of all scenes that were ever here."""

    def __init__(self) -> None:
        self._starts: dict[str, SceneStart] = {}
        self._index_revision: dict[str, int] = {}

    def __getitem__(self, scene_id: str) -> SceneStart:
        return self._starts[scene_id]

    def find(self, scene_id: str) -> tuple[str, SceneStart]:
        """Return (id, what it was told) of a scene; "" names the only one.

        Raises:
            SceneNotNamed: Several scenes and none named. SceneUnavailable: No such scene was ever here.
        """
        if not scene_id:
            if len(self._starts) > 1:
                raise SceneNotNamed(f"several scenes are known; name one of {', '.join(sorted(self._starts))}")
            scene_id = next(iter(self._starts), "")
        start = self._starts.get(scene_id)
        if start is None:
            which = f"the scene `{scene_id}` has never been" if scene_id else "no scene has been"
            raise SceneUnavailable(f"{which} connected yet; start it with `twin scene`")
        return scene_id, start

    def note(self, scene_id: str, start: SceneStart) -> None:
        """Remember what a scene was told."""
        old = self._starts.get(scene_id)
        self._starts[scene_id] = start
        if old is None or [e.id for e in old.topology.entities] != [e.id for e in start.topology.entities]:
            self._index_revision[scene_id] = start.topology.revision

    def change(self, scene_id: str | None, topology: Topology) -> tuple[str, Topology] | None:
        """Take a new revision (None = of the only scene); returns (id, the one before), None for an unknown scene."""
        scene_id = scene_id or next(iter(self._starts), "")
        old = self._starts.get(scene_id)
        if old is None:
            return None
        self.note(scene_id, replace(old, topology=topology))
        return scene_id, old.topology

    def forget(self, scene_id: str) -> None:
        """A scene is no more."""
        self._starts.pop(scene_id, None)
        self._index_revision.pop(scene_id, None)

    def fits(self, batch: TelemetryBatch) -> bool:
        """Return whether the indices of a batch mean what they say: those of an older inventory do not."""
        start = self._starts.get(batch.scene_id)
        if start is None or not self._index_revision[batch.scene_id] <= batch.revision <= start.topology.revision:
            return False
        return not batch.entity_index.size or int(batch.entity_index.max()) < len(start.topology)
