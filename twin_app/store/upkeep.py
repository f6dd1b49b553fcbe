"""Keeping the history file small: reduce to coarser tables, then let the finest rows go.

1 s is kept for 24 h, 10 s for 7 days, 1 min for 90 days and 15 min for ever (simulated time, counted back from the
newest period). Nothing is removed before it stands in the next coarser table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.kpi import kpi
from twin_app.store.history import COLUMNS, FOREVER_MS

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

    from twin_app.store.history import HistoryFile

LEVELS_S = (10, 60, 900)
"""Granularities that are made here."""

BLOCK_MS = 900_000
GRACE_MS = 60_000
"""A block is reduced only when it has been over for this long: late reports are still on their way."""

KEEP_S = {1: 86_400, 10: 7 * 86_400, 60: 90 * 86_400}
"""How long rows stay, by the coarsest granularity that the age applies to."""


@dataclass(slots=True)
class Upkeep:
    """What was done since the store was opened.

    Attributes:
        done_through_ms: Blocks up to here are reduced; None = not looked at yet.
        rolled_up: Coarser periods made.
        evicted_rows: Rows removed by age.
    """

    done_through_ms: int | None = None
    rolled_up: int = 0
    evicted_rows: int = 0


def roll_up(file: HistoryFile, upkeep: Upkeep, *, max_blocks: int) -> bool:
    """Reduce at most `max_blocks` blocks of 15 minutes and remove what is too old; True when more is left to do."""
    coverage = file.coverage
    levels = coverage.levels()
    if not levels:
        return False
    everything = (-FOREVER_MS, FOREVER_MS)
    newest = max(int(coverage.within(level_s, everything)[-1]) for level_s in levels)
    if upkeep.done_through_ms is None:
        finest = coverage.within(levels[0], everything)
        archived = coverage.derived.get(LEVELS_S[-1])
        # After a restart go on behind the last block that was reduced before it.
        last = archived.last_end_ms if archived is not None else None
        first = int(finest[0]) - levels[0] * 1000 if last is None else last
        upkeep.done_through_ms = first // BLOCK_MS * BLOCK_MS
    for _ in range(max_blocks):
        start = upkeep.done_through_ms
        if start + BLOCK_MS + GRACE_MS > newest:
            break
        upkeep.rolled_up += _reduce_block(file, start)
        upkeep.done_through_ms = start + BLOCK_MS
    upkeep.evicted_rows += _evict(file, newest, upkeep.done_through_ms)
    return upkeep.done_through_ms + BLOCK_MS + GRACE_MS <= newest


def _reduce_block(file: HistoryFile, start_ms: int) -> int:
    made: list[tuple[int, int]] = []
    interval = (start_ms, start_ms + BLOCK_MS)
    coverage = file.coverage
    epoch = coverage.epoch
    with file.transaction() as connection:
        for level_s in LEVELS_S:
            step = level_s * 1000
            targets = np.arange(start_ms + step, start_ms + BLOCK_MS + 1, step)
            targets = targets[~np.isin(targets, coverage.within(level_s, interval))]
            for source_s in [s for s in coverage.levels() if s < level_s]:
                ends = coverage.within(source_s, interval)
                ends = ends[(ends > interval[0]) & (ends <= interval[1])]
                # At least half of the period must be known, else it would claim to say what nobody measured.
                at, count = np.unique(-(-ends // step) * step, return_counts=True)
                chosen = np.intersect1d(targets, at[2 * count * source_s >= level_s])
                if chosen.size:
                    _reduce(connection, file, source_s, level_s, chosen, epoch)
                    made.extend((level_s, int(end)) for end in chosen)
                    targets = np.setdiff1d(targets, chosen)
    for level_s, end_ms in made:
        coverage.add(epoch, level_s, end_ms, derived=True)
    return len(made)


def _reduce(
    connection: duckdb.DuckDBPyConnection,
    file: HistoryFile,
    source_s: int,
    level_s: int,
    ends_ms: NDArray[np.int64],
    epoch: int,
) -> None:
    step = level_s * 1000
    end = f"CAST(ceil(pm.end_ms / {step}.0) * {step} AS BIGINT)"
    sql = {"mean": "avg", "sum": "sum", "max": "max"}
    columns = ", ".join(f'{sql[kpi(name).reduce]}(pm."{name}") AS "{name}"' for name in COLUMNS)
    file.make_table(connection, level_s)
    connection.register("target", {"end_ms": ends_ms})
    connection.execute(
        f"INSERT INTO pm_{level_s}s BY NAME SELECT pm.scene AS scene, {epoch} AS epoch, target.end_ms AS end_ms,"  # noqa: S608 - numbers and names of our own tables
        f" pm.entity AS entity, {columns} FROM pm_{source_s}s AS pm JOIN target ON target.end_ms = {end}"
        f" WHERE pm.end_ms > {int(ends_ms[0]) - step} AND pm.end_ms <= {int(ends_ms[-1])} AND {file.visible_pm}"
        " GROUP BY pm.scene, pm.entity, target.end_ms"
    )
    connection.execute(
        f"INSERT INTO period SELECT {file.scene_key}, {epoch}, {level_s}, end_ms, TRUE FROM target"  # noqa: S608 - numbers
    )
    connection.unregister("target")


def _evict(file: HistoryFile, newest_ms: int, done_through_ms: int) -> int:
    removed = 0
    for level_s in file.coverage.levels():
        keep_s = next((age for coarsest, age in sorted(KEEP_S.items()) if level_s <= coarsest), None)
        if keep_s is None:
            continue
        through = min(newest_ms - keep_s * 1000, done_through_ms)
        oldest = file.coverage.within(level_s, (-FOREVER_MS, FOREVER_MS))[0]
        # One block at a time: a delete per second would rewrite the same row group again and again.
        if through - oldest < BLOCK_MS:
            continue
        with file.transaction() as connection:
            row = connection.execute(
                f"DELETE FROM pm_{level_s}s WHERE scene = {file.scene_key} AND end_ms <= {through}"  # noqa: S608 - numbers
            ).fetchone()
            connection.execute(
                "DELETE FROM period WHERE scene = ? AND granularity_s = ? AND end_ms <= ?",
                [file.scene_key, level_s, through],
            )
        file.coverage.forget(level_s, through)
        removed += int(row[0]) if row else 0
    return removed
