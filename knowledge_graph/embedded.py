"""The embedded graph: an in-memory engine in a child process behind the port ``twin.ports.GraphStore``.

The engine may die at any time (deadline, memory cap, crash); what it held is kept here in Python and put into the
next one. A write is therefore done once it is noted here: it never fails because the engine died, and a read that
follows sees it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from knowledge_graph import ladybug_dialect as dialect
from knowledge_graph.engine_owner import FILL_DEADLINE_S, EngineOwner
from knowledge_graph.figures import Figures
from knowledge_graph.named_queries import NamedQuery, find, load_queries
from knowledge_graph.projection import GraphPicture, GraphRows, add_alarm, add_change, cell_attributes, rows_of
from twin.entities import Kind
from twin.errors import DeadlineExceeded, GraphUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from knowledge_graph.child_link import ChildLink, Step
    from twin.alarms import Alarm
    from twin.control import Change
    from twin.ports import HealthState
    from twin.topology import Topology

MAX_ENDED = 5000
"""Cleared alarms, and likewise finished changes, that stay in the graph; older ones stay in the journal."""

_HEALTH: dict[str, HealthState] = {"ok": "ok", "rebuilding": "degraded", "down": "down", "closed": "down"}


@dataclass(slots=True)
class _Memory:
    """What an engine must hold; guarded by the adapter's lock."""

    picture: GraphPicture | None = None
    alarms: dict[str, Alarm] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)

    def whole(self) -> GraphPicture | None:
        """Return the picture with everything that was put since."""
        if self.picture is None:
            return None
        return replace(self.picture, alarms=tuple(self.alarms.values()), changes=tuple(self.changes.values()))


class EmbeddedGraph:
    """The knowledge graph of one scene.

    Args:
        deadline_s: How long a request may take, waiting included.
        memory_limit_mb: What the engine process may use for data and queries.
        refresh_interval_s: Figures that come faster are merged and written at this interval.
        queries: The named queries; None = those that ship.
    """

    def __init__(
        self,
        *,
        deadline_s: float = 2.0,
        memory_limit_mb: int = 1024,
        refresh_interval_s: float = 1.0,
        queries: Mapping[str, NamedQuery] | None = None,
    ) -> None:
        self._deadline_s = deadline_s
        self._refresh_interval_s = refresh_interval_s
        self._queries = queries if queries is not None else load_queries()
        self._memory = _Memory()
        self._lock = threading.Lock()
        self._owner = EngineOwner(fill=self._fill, memory_limit_mb=memory_limit_mb)
        self._pending: dict[str, dict[str, float]] = {}
        self._pending_at_s: float | None = None
        self._refreshed_at = float("-inf")
        self._size = (0, 0)

    async def start(self) -> None:
        """Start the engine, empty.

        Raises:
            GraphUnavailable: It does not come up.
        """
        await self._owner.start()

    async def close(self) -> None:
        """End the engine; requests that wait get GraphUnavailable."""
        await self._owner.close()

    async def read(self, query_id: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run a named query of ``knowledge_graph/queries`` and return its rows.

        Raises:
            UnknownName: No such query. InvalidInput: A parameter is missing, unknown or of another type.
            GraphUnavailable: The engine died; it is started again. DeadlineExceeded. Overloaded.
        """
        query = find(self._queries, query_id)
        bound = query.bind(params)
        if self._pending and time.monotonic() - self._refreshed_at >= self._refresh_interval_s:
            await self._write_figures()

        def ask(link: ChildLink, timeout_ms: int) -> list[dict[str, Any]]:
            columns, rows = link.ask([(query.text, bound)], timeout_ms=timeout_ms)
            return [dict(zip(columns, row, strict=True)) for row in rows]

        return await self._owner.run(ask, deadline_s=self._deadline_s)

    async def rebuild(self, picture: GraphPicture) -> None:
        """Make the graph anew from the scenario, the inventory and the journal; live figures are kept.

        Raises:
            GraphUnavailable: The engine did not survive it. DeadlineExceeded. Overloaded.
        """
        self._owner.check_room()
        with self._lock:
            memory = self._memory
            memory.picture = picture
            memory.alarms = {alarm.id: alarm for alarm in picture.alarms}
            memory.changes = {change.id: change for change in picture.changes}
            memory.figures.keep_only(picture.topology)
        await self._owner.run(lambda link, _: self._fill(link), deadline_s=FILL_DEADLINE_S, must_run=True)

    async def put_attributes(self, topology: Topology, entity_ids: Iterable[str]) -> None:
        """Take the configured attributes of these entities, and the inventory itself, from a newer topology.

        When the list of entities is another one, or a neighbour relation changed, the graph is made anew.

        Raises:
            UnknownEntity: An id is not in the topology. GraphUnavailable: Before the first `rebuild`. Overloaded.
        """
        self._owner.check_room()
        touched = [topology.get(entity_id) for entity_id in entity_ids]
        cells = [entity for entity in touched if entity.kind is Kind.CELL]
        related = any(entity.kind is Kind.RELATION for entity in touched)
        with self._lock:
            picture = self._known_picture()
            grown = [e.id for e in picture.topology.entities] != [e.id for e in topology.entities]
            self._memory.picture = replace(picture, topology=topology)
        if grown or related:
            await self._owner.run(lambda link, _: self._fill(link), deadline_s=FILL_DEADLINE_S, must_run=True)
        elif cells:
            rows = [{"id": cell.id, **cell_attributes(cell, revision=topology.revision)} for cell in cells]
            names = [name for name in rows[0] if name != "id"]
            await self._write(lambda: [dialect.update("Cell", names, rows)])

    async def put_alarm(self, alarm: Alarm) -> None:
        """Put an alarm as it stands now, raised or cleared.

        Raises:
            GraphUnavailable: Before the first `rebuild`. Overloaded: Nothing was noted.
        """
        self._owner.check_room()
        with self._lock:
            topology = self._known_picture().topology
            self._memory.alarms[alarm.id] = alarm
            old = _oldest(self._memory.alarms, [a.id for a in self._memory.alarms.values() if not a.active])
        rows = GraphRows({}, {})
        add_alarm(rows, alarm, topology)
        await self._put(rows, "Alarm", old)

    async def put_change(self, change: Change) -> None:
        """Put a change as it stands now.

        Raises:
            GraphUnavailable: Before the first `rebuild`. Overloaded: Nothing was noted.
        """
        self._owner.check_room()
        with self._lock:
            picture = self._known_picture()
            known = set(self._memory.changes)
            self._memory.changes[change.id] = change
            old = _oldest(self._memory.changes, [c.id for c in self._memory.changes.values() if c.final])
        rows = GraphRows({}, {})
        add_change(rows, change, picture.topology, scene_id=picture.scene_id, known=known)
        await self._put(rows, "Change", old)

    async def refresh(self, values: Mapping[str, Mapping[str, float]], *, sim_time_s: float | None = None) -> None:
        """Take the last values: entity id -> {KPI name or ``serving_count``: value}; NaN = missing.

        Written at most once per interval: newer values replace those that wait, and a read after the interval
        writes what waits first.

        Raises:
            GraphUnavailable: Before the first `rebuild`. Overloaded.
        """
        with self._lock:
            self._known_picture()
        for entity_id, figures in values.items():
            self._pending.setdefault(entity_id, {}).update(figures)
        self._pending_at_s = sim_time_s
        if time.monotonic() - self._refreshed_at >= self._refresh_interval_s:
            await self._write_figures()

    def health(self) -> dict[str, Any]:
        """Return state, engine process, sizes and counters."""
        counts = self._owner.counts
        return {
            "state": _HEALTH[self._owner.state],
            "engine": "ladybug in memory",
            "detail": self._owner.state,
            "pid": self._owner.pid,
            "nodes": self._size[0],
            "relations": self._size[1],
            "fill_s": round(counts.fill_s, 3),
            "queued": self._owner.queued,
            "restarts": counts.restarts,
            "deadlines": counts.deadlines,
            "refused": counts.refused,
            "figures_ignored": self._memory.figures.ignored,
            "last_error": counts.last_error,
        }

    def _known_picture(self) -> GraphPicture:
        picture = self._memory.picture
        if picture is None:
            raise GraphUnavailable("the graph has no inventory yet; call `rebuild` first")
        return picture

    def _fill(self, link: ChildLink) -> None:
        """Empty an engine and put everything in; runs in the worker."""
        with self._lock:
            picture = self._memory.whole()
            figures = self._memory.figures.steps()
        steps = dialect.tables()
        if picture is not None:
            rows = rows_of(picture)
            self._size = (sum(map(len, rows.nodes.values())), sum(map(len, rows.relations.values())))
            steps += [*dialect.load(rows), *figures]
        link.ask(steps, timeout_ms=int(FILL_DEADLINE_S * 1000), reset=True)

    async def _put(self, rows: GraphRows, label: str, old: list[str]) -> None:
        await self._write(lambda: [*dialect.merge(rows), *([dialect.remove(label, old)] if old else [])])

    async def _write_figures(self) -> None:
        pending, self._pending = self._pending, {}
        sim_time_s = self._pending_at_s
        self._refreshed_at = time.monotonic()

        def steps() -> list[Step]:
            with self._lock:
                topology = self._known_picture().topology
                changed = self._memory.figures.put(pending, topology, sim_time_s=sim_time_s)
                return self._memory.figures.steps(changed)

        await self._write(steps)

    async def _write(self, steps: Callable[[], list[Step]]) -> None:
        """Run statements for what is already noted in memory.

        If the engine dies of it, or is dead, the next one is filled from memory, so nothing is lost and nothing is
        raised. A statement that the engine refuses would be a fault of ours and is raised.
        """

        def put(link: ChildLink, _: int) -> None:
            # No stop by the engine itself: half a write would stay, whereas a killed engine is filled from memory.
            if batch := steps():
                link.ask(batch, timeout_ms=0)

        try:
            await self._owner.run(put, deadline_s=self._deadline_s, must_run=True)
        except (GraphUnavailable, DeadlineExceeded):
            return


def _oldest(entries: dict[str, Any], ended: list[str]) -> list[str]:
    """Drop and return the ids of ended entries beyond the limit, oldest first."""
    surplus = ended[: max(0, len(ended) - MAX_ENDED)]
    for key in surplus:
        del entries[key]
    return surplus
