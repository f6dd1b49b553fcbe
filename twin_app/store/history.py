"""The history file: PM reports in DuckDB, one table per granularity, one row per entity and period.

Blocking, and owned by one thread (:mod:`twin_app.store.embedded`). A report is one row in `period` and one row per
entity in `pm_<granularity>s`, in one transaction: after a crash a report is there as a whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from twin.entities import Kind
from twin.errors import CorruptStore, StoreUnavailable
from twin.kpi import KPIS, kpi
from twin.periods import PeriodIndex, Rows, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from twin.periods import Interval
    from twin.telemetry import PmReport

FORMAT = 1

FOREVER_MS: int = 2**62
"""Later than anything; an index of `int64` milliseconds still holds it."""

STORED_KINDS = (Kind.SITE, Kind.CELL, Kind.SLICE, Kind.LINK, Kind.NODE)
"""Kinds that have a history; UEs live in RAM only."""

COLUMNS = tuple(row.name for row in KPIS if any(kind in STORED_KINDS for kind in row.kinds))

_LAYOUT = """
CREATE TABLE IF NOT EXISTS layout (format INTEGER);
CREATE TABLE IF NOT EXISTS scene (key INTEGER, id VARCHAR);
CREATE TABLE IF NOT EXISTS entity (key INTEGER, scene INTEGER, id VARCHAR);
CREATE TABLE IF NOT EXISTS period (
    scene INTEGER, epoch INTEGER, granularity_s INTEGER, end_ms BIGINT, derived BOOLEAN
);
"""


@dataclass(slots=True)
class Coverage:
    """What the file holds of one scene: an index of periods per granularity.

    Attributes:
        reported: Periods that the scene reported.
        derived: Periods that were reduced here from finer ones.
        cut_ms: Epoch -> where a later epoch took over; what the older one says after that is not shown.
        epoch: The newest epoch.
    """

    reported: dict[int, PeriodIndex] = field(default_factory=dict[int, PeriodIndex])
    derived: dict[int, PeriodIndex] = field(default_factory=dict[int, PeriodIndex])
    known: set[tuple[int, int, int]] = field(default_factory=set[tuple[int, int, int]])
    cut_ms: dict[int, int] = field(default_factory=dict[int, int])
    epoch: int = 0

    def levels(self) -> list[int]:
        """Return the granularities held, finest first."""
        held = (*self.reported.items(), *self.derived.items())
        return sorted({granularity_s for granularity_s, index in held if len(index)})

    def within(self, granularity_s: int, interval: Interval) -> NDArray[np.int64]:
        """Return the ends of the periods of one granularity that overlap the interval."""
        parts = [
            index[granularity_s].within(interval) for index in (self.reported, self.derived) if granularity_s in index
        ]
        return np.union1d(*parts) if len(parts) == 2 else parts[0] if parts else np.empty(0, np.int64)

    def last_end_ms(self, granularity_s: int) -> int:
        """Return where the newest period of one granularity ends."""
        held = (index[granularity_s].last_end_ms for index in (self.reported, self.derived) if granularity_s in index)
        return max(end for end in held if end is not None)

    def add(self, epoch: int, granularity_s: int, end_ms: int, *, derived: bool) -> bool:
        """Note a period; False when it is known."""
        key = (epoch, granularity_s, end_ms)
        if key in self.known:
            return False
        self.known.add(key)
        if epoch > self.epoch:
            self._take_over(epoch, end_ms - granularity_s * 1000)
        if epoch == self.epoch or end_ms <= self.cut_ms.get(epoch, FOREVER_MS):
            side = self.derived if derived else self.reported
            side.setdefault(granularity_s, PeriodIndex(granularity_s)).add(end_ms)
        return True

    def forget(self, granularity_s: int, through_ms: int) -> int:
        """Forget the periods of one granularity that end at or before `through_ms`; returns how many."""
        self.known = {key for key in self.known if key[1] != granularity_s or key[2] > through_ms}
        return sum(
            index[granularity_s].drop_through(through_ms)
            for index in (self.reported, self.derived)
            if granularity_s in index
        )

    def span(self) -> Interval | None:
        """Return the first start and the last end, None when nothing is stored."""
        held = [index for index in (*self.reported.values(), *self.derived.values()) if len(index)]
        starts = [start for start in (index.first_start_ms for index in held) if start is not None]
        ends = [end for end in (index.last_end_ms for index in held) if end is not None]
        return (min(starts), max(ends)) if starts else None

    def _take_over(self, epoch: int, start_ms: int) -> None:
        for older in {key[0] for key in self.known if key[0] < epoch}:
            self.cut_ms[older] = min(self.cut_ms.get(older, FOREVER_MS), start_ms)
        for index in (*self.reported.values(), *self.derived.values()):
            index.drop_after(start_ms)
        self.epoch = epoch


class HistoryFile:
    """One DuckDB file. Every call blocks; all calls come from one thread.

    Args:
        path: The file; made when it does not exist.
        scene_id: Whose figures are written and read.
    """

    def __init__(self, path: Path, *, scene_id: str) -> None:
        self._path = path
        self._scene_id = scene_id
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._scene_key = 0
        self._entity_key: dict[str, int] = {}
        self._tables: set[int] = set()
        self.coverage = Coverage()

    def open(self) -> None:
        """Open or make the file and read which periods it holds.

        Raises:
            CorruptStore: It cannot be read.
        """
        try:
            self._connect()
            self._migrate()
            self._load_coverage()
        except duckdb.Error as exc:
            self.close()
            raise CorruptStore(
                f"the telemetry store `{self._path}` cannot be read: {_first_line(exc)}. Move it away (with"
                " `.wal` beside it): the twin starts again with an empty history, and changes, alarms and the city"
                " stay, they are in the journal"
            ) from exc

    def close(self) -> None:
        """Write everything into the file and close it; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def append(self, reports: Sequence[PmReport], ids: Sequence[Sequence[str]]) -> list[bool]:
        """Store reports in one commit; returns for each whether it was new.

        Args:
            reports: All of this file's scene.
            ids: Per report the entity id of every row, "" for a row that has no history (a UE).

        Raises:
            StoreUnavailable: Nothing was stored.
        """
        seen: set[tuple[int, int, int]] = set()
        new: list[bool] = []
        for report in reports:
            key = (report.epoch, report.granularity_period_s, to_ms(report.period_end_sim_time_s))
            new.append(key not in self.coverage.known and key not in seen)
            seen.add(key)
        fresh = [(report, i) for report, i, is_new in zip(reports, ids, new, strict=True) if is_new]
        if not fresh:
            return new
        with _Transaction(self) as connection:
            self._name_entities(connection, [i for _, report_ids in fresh for i in report_ids if i])
            for granularity_s in sorted({report.granularity_period_s for report, _ in fresh}):
                group = [pair for pair in fresh if pair[0].granularity_period_s == granularity_s]
                self._make_table(connection, granularity_s)
                self._insert(connection, f"pm_{granularity_s}s", self._block(group))
            self._insert(connection, "period", self._period_block([report for report, _ in fresh]))
        for report, _ in fresh:
            self.coverage.add(
                report.epoch, report.granularity_period_s, to_ms(report.period_end_sim_time_s), derived=False
            )
        return new

    def rows(self, granularity_s: int, entity_id: str, kpi_name: str, interval: Interval) -> Rows:
        """Return what one table says of one KPI of one entity in the interval, sorted by time."""
        key = self._entity_key.get(entity_id)
        if key is None or granularity_s not in self._tables:
            return Rows(granularity_s=granularity_s, end_ms=np.empty(0, np.int64), value=np.empty(0, np.float32))
        found = self.fetch(
            f'SELECT end_ms, "{kpi_name}" AS value FROM pm_{granularity_s}s WHERE entity = ? AND end_ms > ?'  # noqa: S608 - a number and a name of our own table
            f" AND end_ms < ? AND {self.visible} ORDER BY end_ms",
            [key, interval[0], interval[1] + granularity_s * 1000],
        )
        return Rows(
            granularity_s=granularity_s,
            end_ms=np.asarray(found["end_ms"], np.int64),
            value=filled(found["value"]),
        )

    def totals(
        self, granularity_s: int, kpi_name: str, intervals: list[Interval]
    ) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
        """Return (entity ids, weighted sums, weights) of one KPI over intervals of one table.

        The weight of a row is the seconds of its period inside the intervals; a sum counts in that proportion. Of a
        KPI that reduces to its maximum, the maximum stands in place of the sum.
        """
        if granularity_s not in self._tables or not intervals:
            return [], np.empty(0), np.empty(0)
        step = granularity_s * 1000
        low, high = intervals[0][0], intervals[-1][1]
        share = "least(pm.end_ms, piece.high) - greatest(pm.end_ms - ?, piece.low)"
        rule = kpi(kpi_name).reduce
        over = 1000.0 if rule == "mean" else float(step)
        total = f'pm."{kpi_name}"::DOUBLE' + ("" if rule == "max" else f" * ({share}) / ?")
        total = f"{'max' if rule == 'max' else 'sum'}({total})"
        found = self.fetch(
            f"SELECT pm.entity, {total} AS total,"  # noqa: S608 - a number and a name of our own table
            f" sum(({share}) / 1000.0) AS seconds FROM pm_{granularity_s}s AS pm"
            " JOIN piece ON pm.end_ms > piece.low AND pm.end_ms - ? < piece.high"
            f' WHERE pm.end_ms > ? AND pm.end_ms < ? AND pm."{kpi_name}" IS NOT NULL AND {self.visible_pm}'
            " GROUP BY pm.entity",
            [step, *([] if rule == "max" else [over, step]), step, low, high + step],
            piece={
                "low": np.array([i[0] for i in intervals], np.int64),
                "high": np.array([i[1] for i in intervals], np.int64),
            },
        )
        name_of = {key: name for name, key in self._entity_key.items()}
        ids = [name_of[int(key)] for key in found["entity"]]
        return ids, np.asarray(found["total"], float), np.asarray(found["seconds"], float)

    def reports(
        self, granularity_s: int, interval: Interval
    ) -> list[tuple[int, list[str], tuple[str, ...], NDArray[np.float32]]]:
        """Return (end, entity ids, counters, ``[n, num_counters] float32``) of stored periods, oldest first."""
        if granularity_s not in self._tables:
            return []
        columns = ", ".join(f'"{name}"' for name in COLUMNS)
        found = self.fetch(
            f"SELECT end_ms, entity, {columns} FROM pm_{granularity_s}s WHERE end_ms > ? AND end_ms <= ?"  # noqa: S608 - names of our own table
            f" AND {self.visible} ORDER BY end_ms, entity",
            [*interval],
        )
        name_of = {key: name for name, key in self._entity_key.items()}
        ends, entities = np.asarray(found["end_ms"]), np.asarray(found["entity"])
        values = np.column_stack([filled(found[name]) for name in COLUMNS])
        firsts = np.flatnonzero(np.diff(ends, prepend=-FOREVER_MS))
        return [
            (int(ends[a]), [name_of[int(key)] for key in entities[a:b]], COLUMNS, values[a:b])
            for a, b in zip(firsts, np.append(firsts[1:], ends.size), strict=False)
        ]

    def newest(self) -> tuple[int, list[str], tuple[str, ...], NDArray[np.float32]] | None:
        """Return (end, entity ids, counters, values) of the newest period, None when empty."""
        ends = {level_s: self.coverage.last_end_ms(level_s) for level_s in self.coverage.levels()}
        if not ends:
            return None
        level_s = min(ends, key=lambda level_s: (-ends[level_s], level_s))
        return self.reports(level_s, (ends[level_s] - 1, ends[level_s]))[0]

    def fetch(
        self, sql: str, parameters: Sequence[Any] = (), **registered: dict[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Run a query and return its columns as numpy arrays (masked where NULL).

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        connection = self.opened()
        try:
            for name, columns in registered.items():
                connection.register(name, columns)
            found: dict[str, NDArray[Any]] = connection.execute(sql, list(parameters)).fetchnumpy()
            for name in registered:
                connection.unregister(name)
        except duckdb.Error as exc:
            raise self.failure(exc) from exc
        return found

    @property
    def visible_pm(self) -> str:
        """The same condition where the table goes by the name `pm`."""
        return self.visible.replace("scene", "pm.scene").replace("epoch", "pm.epoch").replace("end_ms", "pm.end_ms")

    @property
    def visible(self) -> str:
        """The SQL condition for rows that are of this scene and not overtaken by a later epoch."""
        cuts = "".join(f" AND (epoch <> {e} OR end_ms <= {cut})" for e, cut in sorted(self.coverage.cut_ms.items()))
        return f"scene = {self._scene_key}{cuts}"

    @property
    def scene_key(self) -> int:
        """The number of this file's scene."""
        return self._scene_key

    def opened(self) -> duckdb.DuckDBPyConnection:
        """Return the connection, made anew after DuckDB gave the last one up.

        Raises:
            StoreUnavailable: The file is closed or cannot be opened.
        """
        if self._connection is None:
            raise StoreUnavailable(f"the telemetry store `{self._path}` is closed")
        return self._connection

    def transaction(self) -> _Transaction:
        """Return a context in which everything is stored together or not at all."""
        return _Transaction(self)

    def make_table(self, connection: duckdb.DuckDBPyConnection, granularity_s: int) -> None:
        """Make the table of a granularity when it does not exist."""
        self._make_table(connection, granularity_s)

    def forget_names(self) -> None:
        """Read entities and tables anew: those that a transaction made went away with it."""
        try:
            self._load_names()
        except (duckdb.Error, StoreUnavailable):
            self._entity_key, self._tables = {}, set()

    def failure(self, exc: duckdb.Error) -> StoreUnavailable:
        """Return what to tell the caller; a connection that DuckDB gave up is replaced by a new one."""
        if isinstance(exc, duckdb.FatalException | duckdb.InternalException):
            self.close()
            try:
                self._connect()
            except duckdb.Error as again:
                return StoreUnavailable(f"the telemetry store `{self._path}` cannot be opened: {_first_line(again)}")
        return StoreUnavailable(
            f"the telemetry store `{self._path}` failed: {_first_line(exc)}; free some disk space, or move the file"
            " away when it is damaged"
        )

    def _connect(self) -> None:
        # One thread and bounded memory: history must not take the machine from the simulator.
        self._connection = duckdb.connect(
            str(self._path), config={"threads": "1", "memory_limit": "512MB", "preserve_insertion_order": "true"}
        )

    def _migrate(self) -> None:
        connection = self.opened()
        connection.execute(_LAYOUT)
        found = connection.execute("SELECT format FROM layout").fetchone()
        if found is None:
            connection.execute("INSERT INTO layout VALUES (?)", [FORMAT])
        elif found[0] != FORMAT:
            self.close()
            raise CorruptStore(
                f"the telemetry store `{self._path}` has the format `{found[0]}`, this program reads `{FORMAT}`;"
                " update Twin6G or move the file away"
            )
        row = connection.execute("SELECT key FROM scene WHERE id = ?", [self._scene_id]).fetchone()
        if row is None:
            self._scene_key = (connection.execute("SELECT count(*) FROM scene").fetchone() or (0,))[0]
            connection.execute("INSERT INTO scene VALUES (?, ?)", [self._scene_key, self._scene_id])
        else:
            self._scene_key = row[0]
        self._load_names()
        for granularity_s in self._tables:
            table = f"pm_{granularity_s}s"
            has = {name for (name,) in connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()}  # noqa: S608 - a number
            for name in COLUMNS:
                if name not in has:
                    connection.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" FLOAT')

    def _load_names(self) -> None:
        connection = self.opened()
        rows = connection.execute("SELECT id, key FROM entity WHERE scene = ?", [self._scene_key]).fetchall()
        self._entity_key = dict(rows)
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'pm_%s'").fetchall()
        self._tables = {int(name[3:-1]) for (name,) in tables}

    def _load_coverage(self) -> None:
        self.coverage = Coverage()
        found = self.opened().execute(
            "SELECT epoch, granularity_s, end_ms, derived FROM period WHERE scene = ? ORDER BY epoch, end_ms",
            [self._scene_key],
        )
        for epoch, granularity_s, end_ms, derived in found.fetchall():
            self.coverage.add(epoch, granularity_s, end_ms, derived=derived)

    def _name_entities(self, connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> None:
        fresh = [i for i in dict.fromkeys(ids) if i not in self._entity_key]
        if fresh:
            first = len(self._entity_key)
            keys = np.arange(first, first + len(fresh), dtype=np.int32)
            self._insert(
                connection,
                "entity",
                {"key": keys, "scene": np.full(keys.size, self._scene_key, np.int32), "id": np.array(fresh, object)},
            )
            self._entity_key.update(zip(fresh, keys.tolist(), strict=True))

    def _make_table(self, connection: duckdb.DuckDBPyConnection, granularity_s: int) -> None:
        if granularity_s not in self._tables:
            columns = ", ".join(f'"{name}" FLOAT' for name in COLUMNS)
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS pm_{granularity_s}s (scene INTEGER, epoch INTEGER, end_ms BIGINT,"
                f" entity INTEGER, {columns})"
            )
            self._tables.add(granularity_s)

    def _block(self, group: list[tuple[PmReport, Sequence[str]]]) -> dict[str, NDArray[Any]]:
        keys = [np.array([self._entity_key[i] if i else -1 for i in ids], np.int32) for _, ids in group]
        keep = [key >= 0 for key in keys]
        sizes = [int(k.sum()) for k in keep]
        reports = [report for report, _ in group]
        block: dict[str, NDArray[Any]] = {
            "scene": np.full(sum(sizes), self._scene_key, np.int32),
            "epoch": np.repeat(np.array([r.epoch for r in reports], np.int32), sizes),
            "end_ms": np.repeat(np.array([to_ms(r.period_end_sim_time_s) for r in reports], np.int64), sizes),
            "entity": np.concatenate([key[k] for key, k in zip(keys, keep, strict=True)]),
        }
        for name in COLUMNS:
            block[name] = np.concatenate(
                [
                    r.values[k, r.counters.index(name)].astype(np.float32)
                    if name in r.counters
                    else np.full(size, np.nan, np.float32)
                    for r, k, size in zip(reports, keep, sizes, strict=True)
                ]
            )
        return block

    def _period_block(self, reports: Sequence[PmReport]) -> dict[str, NDArray[Any]]:
        return {
            "scene": np.full(len(reports), self._scene_key, np.int32),
            "epoch": np.array([r.epoch for r in reports], np.int32),
            "granularity_s": np.array([r.granularity_period_s for r in reports], np.int32),
            "end_ms": np.array([to_ms(r.period_end_sim_time_s) for r in reports], np.int64),
            "derived": np.zeros(len(reports), np.bool_),
        }

    @staticmethod
    def _insert(connection: duckdb.DuckDBPyConnection, table: str, block: dict[str, NDArray[Any]]) -> None:
        # DuckDB scans numpy columns in place; row-wise executemany is 300 times slower.
        connection.register("block", block)
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM block")  # noqa: S608 - our own table
        connection.unregister("block")


class _Transaction:
    """Begin, then commit or roll back; DuckDB's errors become ours."""

    def __init__(self, file: HistoryFile) -> None:
        self._file = file

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        connection = self._file.opened()
        try:
            connection.execute("BEGIN")
        except duckdb.Error as exc:
            raise self._file.failure(exc) from exc
        return connection

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        try:
            self._file.opened().execute("COMMIT" if exc is None else "ROLLBACK")
        except duckdb.Error as failed:
            failure = self._file.failure(failed)
            self._file.forget_names()
            raise failure from failed
        if exc is not None:
            self._file.forget_names()
        if isinstance(exc, duckdb.Error):
            raise self._file.failure(exc) from exc


def filled(column: NDArray[Any]) -> NDArray[np.float32]:
    """Return a FLOAT column with NaN where DuckDB has NULL."""
    if isinstance(column, np.ma.MaskedArray):
        return np.asarray(column.filled(np.nan), np.float32)
    return np.asarray(column, np.float32)


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0]
