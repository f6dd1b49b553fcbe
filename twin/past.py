"""The fortnight before the first live second, from the same model on coarse ticks.

Each period of the past is one moment of the network, looked at as the live network looks at one tick: the UEs
where their tours put them, sessions drawn from their stationary law, the crowd's drift carried on exactly, load and
interference solved as a fixed point. What is a matter of ticks (handover, time to trigger) has no past: those
counters are absent. Many moments are evaluated together; UEs are placed on a fine raster so that each spot's radio
is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twin import counters, traffic
from twin.errors import OutOfRange
from twin.handover import HYSTERESIS_DB, MIN_RSRP_DBM, OFFSET_DB, strongest
from twin.moments import Moment, evaluate
from twin.radio.landscape import outdoor_points, sectors_of
from twin.setup_failures import PROCEDURES, WINDOW_MINUTES, percent
from twin.sixg.cell_free import partners, power_of
from twin.sixg.ways import contributed, contributors_of
from twin.telemetry import PmReport
from twin.world import rows_of, stream, world_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from twin.clock import CivilTime
    from twin.moments import Outcome
    from twin.scenario import Scenario
    from twin.setup_failures import Procedure
    from twin.topology import Topology
    from twin.traffic import TrafficModel
    from twin.world import World

COARSE_S, FINE_S = 900, 60
FINE_PAST_S = 86_400
"""The last day is also told minute by minute."""
SPOT_M = 12.0
"""Raster on which moving UEs are placed: half the width of a street, so that corners hide the same as live."""
LINGER_S = 45.0
"""How far back to look for the cell that a moving UE may still be on within the handover's hysteresis."""
CHUNK = 60
"""Moments evaluated together: an hour of minutes; their arrays stay in the cache of one core."""
ITERATIONS = 6
_PAST = 11


@dataclass(slots=True, kw_only=True, eq=False)
class _Spots:
    """The radio of every place where a user can be.

    Attributes:
        received_mw: ``[num_spots, num_cells] float32`` at full load.
        rsrp_dbm: ``[num_spots, num_cells] float32``.
        strongest: ``[num_spots] int64`` cell column, -1 = none.
        of_user: ``[num_times, num_users] int32`` spot of each user at each time.
        before: ``[num_times, num_moving] int32`` spot of the moving UEs a little earlier.
    """

    received_mw: NDArray[np.float32]
    rsrp_dbm: NDArray[np.float32]
    strongest: NDArray[np.int64]
    of_user: NDArray[np.int32]
    before: NDArray[np.int32]


def _spots(world: World, times_s: NDArray[np.float64]) -> _Spots:
    """Return the homes of all users followed by the raster squares that moving UEs visit."""
    sectors = sectors_of(world.scenario.cells)
    of_user = np.tile(np.arange(world.num_users, dtype=np.int32), (len(times_s), 1))
    contributors = contributors_of(world.scenario, world.landscape, sectors, seed=world.seed)
    power_mw, level = contributed(world.home_gain_db, world.points, sectors, contributors)
    moving = world.tours.moving
    before = np.zeros((len(times_s), len(moving)), dtype=np.int32)
    if len(moving):
        track_m = np.stack([world.tours.track(times_s), world.tours.track(times_s - LINGER_S)])
        square = np.round(track_m / np.float32(SPOT_M)).astype(np.int64)
        # One number per square; 2^20 squares of 12 m are more than any city is wide.
        key = (square[..., 0] + (1 << 19)) * (1 << 20) + square[..., 1] + (1 << 19)
        # The spot is where somebody stood first: the middle of a square may lie inside a house.
        _, first, place = np.unique(key, return_index=True, return_inverse=True)
        spot_m = track_m.reshape(-1, 2)[first]
        spots = outdoor_points(spot_m.astype(np.float32))
        there = contributed(world.landscape.gain_db(spots, sectors), spots, sectors, contributors)
        power_mw, level = np.concatenate([power_mw, there[0]]), np.concatenate([level, there[1]])
        of_user[:, moving], before = place.reshape(key.shape).astype(np.int32) + np.int32(world.num_users)
    return _Spots(
        received_mw=power_mw,
        rsrp_dbm=level,
        strongest=strongest(level),
        of_user=of_user,
        before=before,
    )


class _Rewind:
    """Evaluates times of the past, many together."""

    def __init__(self, world: World, civil: CivilTime, times_s: NDArray[np.float64], rng: np.random.Generator) -> None:
        self._world, self._civil, self.times_s, self._rng = world, civil, times_s, rng
        self._spots = _spots(world, times_s)
        sectors = sectors_of(world.scenario.cells)
        self._awake = sectors.on_air
        self._most_together = world.stated("vsData6gApCluster.maxServingAps", 1.0).astype(np.int64)
        self._max_output_w = np.where(sectors.on_air, 10.0 ** (sectors.power_dbm / 10.0 - 3.0), 0.0).astype(np.float32)

    def evaluate(self, first: int, last: int) -> tuple[Outcome, NDArray[np.float64]]:
        """Return the outcome of times first..last-1, and their second of the week."""
        world, rng = self._world, self._rng
        times_s = self.times_s[first:last]
        moments = last - first
        week_second = traffic.second_of_week(self._civil, times_s)
        people = world.people
        duty, share = people.demand_share(times_s, week_second)
        rate = people.sessions.sample(duty, people.profile, rng)
        demand = np.concatenate([rate, share * people.busy_demand_bps], axis=1)
        spot = self._spots.of_user[first:last]
        serving = self._serving(spot, first, last)
        column = np.maximum(serving, 0)
        helpers = partners(
            serving,
            self._spots.received_mw,
            spot,
            most=self._most_together,
            carrier=world.carrier_of_cell,
            admits=self._awake,
        )
        outcome = evaluate(
            world,
            Moment(
                serving=serving,
                rsrp_dbm=self._spots.rsrp_dbm[spot, column],
                signal_mw=self._spots.received_mw[spot, column],
                total_mw=self._total(spot, column),
                demand_bps=demand.astype(np.float32),
                connected=np.concatenate([np.ones(rate.shape), share * people.busy_connected], axis=1).astype(
                    np.float32
                ),
                load=np.full((moments, world.num_cells), 0.3, dtype=np.float32),
                max_output_w=self._max_output_w,
                awake=self._awake,
                assist_cells=helpers,
                assist_mw=None if helpers is None else power_of(self._spots.received_mw, spot, helpers),
            ),
            iterations=ITERATIONS,
        )
        return outcome, week_second

    def _serving(self, spot: NDArray[np.int32], first: int, last: int) -> NDArray[np.int64]:
        """Return the strongest cell, or for a moving UE the one it has not yet left: as event A3 would have it."""
        spots, moving = self._spots, self._world.tours.moving
        serving = spots.strongest[spot]
        now, kept = spot[:, moving], spots.strongest[spots.before[first:last]]
        best_dbm = spots.rsrp_dbm[now, np.maximum(serving[:, moving], 0)]
        kept_dbm = spots.rsrp_dbm[now, np.maximum(kept, 0)]
        lingers = (kept >= 0) & (kept_dbm >= best_dbm - (HYSTERESIS_DB + OFFSET_DB)) & (kept_dbm >= MIN_RSRP_DBM)
        serving[:, moving] = np.where(lingers, kept, serving[:, moving])
        return serving

    def _total(self, spot: NDArray[np.int32], column: NDArray[np.int64]) -> _TotalPower:
        return _TotalPower(self._world, self._spots.received_mw, spot, column)


class _TotalPower:
    """All power that each user receives on its carrier, through a field over the spots that occur."""

    def __init__(
        self,
        world: World,
        received_mw: NDArray[np.float32],
        spot: NDArray[np.int32],
        column: NDArray[np.int64],
    ) -> None:
        used, place = np.unique(spot, return_inverse=True)
        self._place = place.reshape(spot.shape) + np.arange(len(spot))[:, None] * len(used)
        self._field = [
            np.ascontiguousarray((received_mw[used] * (world.carrier_of_cell == number)).T)
            for number in range(world.num_carriers)
        ]
        self._carrier = world.carrier_of_cell[column]

    def __call__(self, activity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``[num_times, num_users] float32`` for activity ``[num_times, num_cells]``."""
        total = (activity @ self._field[0]).ravel()[self._place]
        for number, field in enumerate(self._field[1:], start=1):
            total = np.where(self._carrier == number, (activity @ field).ravel()[self._place], total)
        return total


class _MinuteWindow:
    """Failure rates over the last 15 minutes, minute by minute."""

    def __init__(self) -> None:
        self._before: dict[Procedure, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def percent(self, name: Procedure, attempts: NDArray[np.int64], failures: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each minute in per cent, ``[num_minutes, num_cells]``."""
        keep = WINDOW_MINUTES - 1
        # Before the first minute the network was as it is in it.
        old = self._before.get(name, (np.tile(attempts[:1], (keep, 1)), np.tile(failures[:1], (keep, 1))))
        tries, lost = np.concatenate([old[0], attempts]), np.concatenate([old[1], failures])
        self._before[name] = (tries[-keep:], lost[-keep:])
        zero = np.zeros((1, tries.shape[1]), dtype=np.int64)
        tries, lost = (np.concatenate([zero, one]).cumsum(axis=0) for one in (tries, lost))
        return percent(lost[WINDOW_MINUTES:] - lost[:-WINDOW_MINUTES], tries[WINDOW_MINUTES:] - tries[:-WINDOW_MINUTES])


class _Reporter:
    """Turns evaluated times into reports."""

    def __init__(
        self, world: World, rewind: _Rewind, topology: Topology, *, scene_id: str, epoch: int, rng: np.random.Generator
    ) -> None:
        rows = rows_of(world.scenario, topology)
        self._index = np.concatenate([rows[kind] for kind in counters.REPORT_KINDS])
        self._world, self._rewind, self._rng = world, rewind, rng
        self._revision, self._scene_id, self._epoch = topology.revision, scene_id, epoch
        self._window = _MinuteWindow()
        self._seq = 0

    def coarse(self, first: int, last: int) -> Iterator[PmReport]:
        """Yield 15-minute reports, each one moment standing for its period."""
        outcome, drawn = self._draw(first, last, COARSE_S)
        values = counters.report_values(
            cells=outcome.cells * COARSE_S,
            slices=outcome.slices * COARSE_S,
            links=outcome.links * COARSE_S,
            set_ups=counters.set_ups_of(drawn),
        )
        for row, end_s in enumerate(self._rewind.times_s[first:last]):
            yield self._report(COARSE_S, float(end_s), values[row])

    def fine(self, first: int, last: int) -> Iterator[PmReport]:
        """Yield minutes, and after every fifteenth the sum of the last fifteen."""
        outcome, drawn = self._draw(first, last, FINE_S)
        rates = {name: self._window.percent(name, *drawn[name]) for name in PROCEDURES}
        attempts, failures = drawn["rrc"]
        minutes = counters.report_values(
            cells=outcome.cells * FINE_S,
            slices=outcome.slices * FINE_S,
            links=outcome.links * FINE_S,
            set_ups=counters.SetUps(
                attempts=attempts, failures=failures, rrc_percent=rates["rrc"], drb_percent=rates["drb"]
            ),
        )

        def quarter(sums: NDArray[Any]) -> NDArray[Any]:
            return sums.reshape(-1, WINDOW_MINUTES, *sums.shape[1:]).sum(axis=1)

        quarters = counters.report_values(
            cells=quarter(outcome.cells) * FINE_S,
            slices=quarter(outcome.slices) * FINE_S,
            links=quarter(outcome.links) * FINE_S,
            set_ups=counters.set_ups_of({name: (quarter(a), quarter(f)) for name, (a, f) in drawn.items()}),
        )
        for row, end_s in enumerate(self._rewind.times_s[first:last]):
            yield self._report(FINE_S, float(end_s), minutes[row])
            if (row + 1) % WINDOW_MINUTES == 0:
                yield self._report(COARSE_S, float(end_s), quarters[row // WINDOW_MINUTES])

    def _draw(
        self, first: int, last: int, period_s: int
    ) -> tuple[Outcome, dict[Procedure, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
        outcome, week_second = self._rewind.evaluate(first, last)
        drawn = counters.draw_set_ups(
            self._world,
            outcome.cells * period_s,
            week_second=week_second,
            sim_time_s=self._rewind.times_s[first:last],
            rng=self._rng,
        )
        return outcome, drawn

    def _report(self, granularity_s: int, end_s: float, values: NDArray[np.float32]) -> PmReport:
        self._seq += 1
        return PmReport(
            scene_id=self._scene_id,
            epoch=self._epoch,
            seq=self._seq,
            revision=self._revision,
            granularity_period_s=granularity_s,
            period_end_sim_time_s=end_s,
            entity_index=self._index,
            counters=counters.COUNTERS,
            values=values,
        )


def generate_past(
    scenario: Scenario,
    topology: Topology,
    civil: CivilTime,
    *,
    seed: int,
    end_s: float,
    past_s: int,
    scene_id: str,
    epoch: int,
    traffic: TrafficModel | None = None,
) -> Iterator[PmReport]:
    """Yield the reports of the past, ordered by the end of their period, the last one ending at `end_s`.

    15-minute reports cover the whole of it, one-minute reports the last day. In that day a 15-minute report is the
    sum of its minutes; before, it is one moment standing for the period.

    Args:
        scenario: The city.
        topology: Dense indices.
        civil: Simulated seconds to civil time.
        seed: The seed of the live network that follows.
        end_s: Simulated now.
        past_s: Length; rounded down to whole 15 minutes, 0 = nothing.
        scene_id: Goes into the reports.
        epoch: Goes into the reports.
        traffic: The traffic model of the live network that follows.

    Raises:
        OutOfRange: `past_s` is negative.
    """
    if past_s < 0:
        raise OutOfRange(f"a past of `{past_s} s` lies in the future; give 0 or more")
    periods = past_s // COARSE_S
    if not periods:
        return
    fine_periods = min(periods, FINE_PAST_S // COARSE_S)
    coarse_end_s = end_s - fine_periods * COARSE_S
    ends = [coarse_end_s - COARSE_S * np.arange(periods - fine_periods - 1, -1, -1, dtype=np.float64)]
    fine_count = fine_periods * COARSE_S // FINE_S
    ends.append(coarse_end_s + FINE_S * np.arange(1, fine_count + 1, dtype=np.float64))
    times_s = np.concatenate(ends)
    world, rng = world_of(scenario, seed, traffic), stream(scenario, seed, _PAST)
    rewind = _Rewind(world, civil, times_s, rng)
    reporter = _Reporter(world, rewind, topology, scene_id=scene_id, epoch=epoch, rng=rng)
    coarse = periods - fine_periods
    for first in range(0, coarse, CHUNK):
        yield from reporter.coarse(first, min(first + CHUNK, coarse))
    for first in range(coarse, len(times_s), CHUNK):
        yield from reporter.fine(first, min(first + CHUNK, len(times_s)))
