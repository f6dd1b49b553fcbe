"""Who uses the network: the UEs, and the crowd that stands for the subscribers who are not followed one by one.

The crowd is made of points around the homes of the UEs. Each stands for people like the UE it was drawn from, and
asks for its share of what a network of this size carries in its busy hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin import traffic
from twin.entities import LandUse
from twin.errors import InvalidInput
from twin.moments import MAX_CROWD_NEED, MAX_NEED
from twin.radio.blockage import footprints_of
from twin.radio.landscape import indoor_points
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S
from twin.traffic.groups import profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.radio.landscape import Points
    from twin.scenario import Scenario

POINTS_PER_CELL = 40
OFFSET_M = 60.0
"""Spread of the crowd around the homes it is drawn from."""
CONNECTIONS_PER_CELL = 60.0
"""Connected subscribers of the crowd per cell in the busy hour."""
APPETITE_SIGMA = 0.3
"""Lasting difference between points of the crowd in the logarithm of demand."""
METER_PERIOD_S = 60.0
"""A meter reports once a minute (:data:`twin.traffic.groups.GROUPS`)."""
METERS_PER_CONNECTION = METER_PERIOD_S * ATTEMPTS_PER_CONNECTION_S
"""Each report is a connection of its own, kept for ten seconds; so many meters make one that is there on the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How much a network carries: the one absolute figure, as curves and mixes only tell shares.

    Attributes:
        month_byte: Volume of one subscription in a month; the world's mean per smartphone was 21.6 GB in 2024
            (DataReportal; the Ericsson Mobility Reports lie near).
        subscriptions_per_mhz: In the area of one cell, per MHz of its carrier: a parameter, not a measurement.
            Operators dimension cells for a busy-hour PRB load of about one half; this figure puts the default
            city there (45 %).
    """

    month_byte: float = 20e9
    subscriptions_per_mhz: float = 13.5

    @property
    def busy_hour_bps(self) -> float:
        """Mean rate of one subscription in its busy hour, whose share of the day the measured curves tell."""
        day_bit = 8.0 * self.month_byte / 30.4
        share = np.mean([traffic.busy_hour_share(land_use) for land_use in LandUse])
        return float(day_bit * share / 3600.0)

    @property
    def busy_hour_bps_per_hz(self) -> float:
        """Busy-hour demand per hertz of installed carrier."""
        return self.busy_hour_bps * self.subscriptions_per_mhz / 1e6


def num_users(scenario: Scenario) -> int:
    """Return how many users a scenario has, UEs and points of the crowd together."""
    return len(scenario.ues) + (POINTS_PER_CELL * len(scenario.cells) if scenario.ues else 0)


class People:
    """All users of a scenario: rows 0..num_ues-1 are its UEs, the rest is the crowd.

    A UE is somebody who uses his phone now, in the mean with the appetite of twenty subscriptions; the crowd stands
    for all others. Both together want the level.

    Args:
        scenario: Gives the UEs.
        rng: Source of the crowd and of its noise.
        walls: Source of what stands between indoor users and the street.
        level: How much they want; None = as the scenario says.
        demand: What share of it is wanted when; None = the measured weeks of the scenario, without any the
            parametric model.

    Raises:
        InvalidInput: `demand` answers for another number of users.

    Attributes:
        points: Where each user is at home.
        activity_row: ``[num_users] int64`` curve that a user follows (:func:`twin.traffic.activity`).
        slice_of_user: ``[num_users] int64``.
        profile: ``[num_ues] int64`` (:class:`twin.traffic.groups.Profiles`).
        busy_duty: ``[num_ues] float32`` share of busy-hour time with data.
        busy_rate_bps: ``[num_ues] float32`` mean demand in the busy hour, silence included.
        busy_demand_bps: ``[num_crowd] float32``.
        busy_connected: ``[num_crowd] float32`` connected subscribers.
        traffic: What share of the busy hour's demand is wanted when.
        sessions: The law of the UEs' sessions.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        rng: np.random.Generator,
        walls: np.random.Generator,
        level: Level | None = None,
        demand: traffic.TrafficModel | None = None,
    ) -> None:
        ues, sites = scenario.ues, scenario.sites
        self.num_ues = len(ues)
        table, uses = profiles(), tuple(LandUse)
        sst = {part.id: part.sst for part in scenario.slices}
        slices = [part.id for part in scenario.slices]
        self.profile = np.array([table.code(ue.group, sst[ue.slice_id]) for ue in ues], dtype=np.int64)
        crowd = num_users(scenario) - len(ues)
        like = rng.integers(0, max(len(ues), 1), crowd)
        home_m = np.array([ue.home_m for ue in ues], dtype=np.float32).reshape(-1, 2)
        crowd_m = home_m[like] + rng.normal(0.0, OFFSET_M, (crowd, 2)).astype(np.float32)
        indoor = np.array([ue.indoor for ue in ues], dtype=bool)
        site_m = np.array([site.position_m[:2] for site in sites], dtype=np.float32).reshape(-1, 2)
        country_sites = {cell.site_id for cell in scenario.cells if cell.environment == "RMa"}
        rural = np.zeros(len(ues), dtype=bool)
        if country_sites and ues:
            nearest = np.hypot(*np.moveaxis(home_m[:, None] - site_m[None], -1, 0)).argmin(axis=1)
            rural = np.array([site.id in country_sites for site in sites], dtype=bool)[nearest]
        # Who stands for others lives as high as his model does.
        storeys = footprints_of(scenario.buildings, scenario.extent_m).storeys(home_m)
        self.points: Points = indoor_points(
            np.concatenate([home_m, crowd_m]),
            np.concatenate([indoor, indoor[like]]),
            rng=walls,
            storeys=np.concatenate([storeys, storeys[like]]),
            rural=np.concatenate([rural, rural[like]]),
        )
        curve = np.array([uses.index(ue.land_use) for ue in ues], dtype=np.int64)
        curve = np.where(table.keeps_hours[self.profile], curve, traffic.FLAT)
        of_slice = np.array([slices.index(ue.slice_id) for ue in ues], dtype=np.int64)
        self.activity_row = np.concatenate([curve, curve[like]])
        self.slice_of_user = np.concatenate([of_slice, of_slice[like]])
        self.sessions = traffic.SessionModel()
        self.busy_duty = table.busy_duty[self.profile].astype(np.float32)
        self.busy_rate_bps = (self.busy_duty * self.sessions.mean_rate_bps[self.profile]).astype(np.float32)
        self.busy_connected = np.full(crowd, CONNECTIONS_PER_CELL * len(scenario.cells) / max(crowd, 1), "f4")
        self.busy_demand_bps = self._crowd_demand(scenario, like, level or Level(month_byte=scenario.month_byte), rng)
        self.is_crowd = np.arange(len(ues) + crowd) >= len(ues)
        self.max_need = np.where(self.is_crowd, MAX_CROWD_NEED, MAX_NEED).astype(np.float32)
        apart = np.hypot(*np.moveaxis(crowd_m[:, None] - site_m[None], -1, 0))
        district = apart.argmin(axis=1) if crowd else np.zeros(0, dtype=np.int64)
        if demand is None and scenario.demand_curves is not None:
            demand = traffic.MeasuredTraffic(traffic.WeekCurves(scenario.demand_curves), self.activity_row)
        self.traffic: traffic.TrafficModel = demand or traffic.ParametricTraffic(
            self.activity_row, district, num_districts=len(sites), rng=rng
        )
        answered = self.traffic.share(np.zeros(1), np.zeros(1)).shape
        if answered != (1, len(ues) + crowd):
            raise InvalidInput(
                f"the traffic model answers `{answered}` for one time and {len(ues) + crowd} users;"
                " make it for as many as `twin.people.num_users` says"
            )

    def _crowd_demand(
        self, scenario: Scenario, like: NDArray[np.int64], level: Level, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the busy-hour demand of each point: people share what UEs leave of the level, meters report."""
        table = profiles()
        appetite = self.busy_rate_bps[like] * np.exp(APPETITE_SIGMA * rng.standard_normal(len(like)))
        machine = np.array([sst == 3 for _, sst in table.keys], dtype=bool)[self.profile[like]]
        machines = METERS_PER_CONNECTION * float(self.busy_connected[machine].sum())
        each_bps = float(self.busy_rate_bps[like][machine].mean()) if machine.any() else 0.0
        level_bps = level.busy_hour_bps_per_hz * sum(cell.bandwidth_hz for cell in scenario.cells)
        wanted_bps = max(level_bps - float(self.busy_rate_bps.sum()), 0.0)
        part = np.zeros(len(like))
        for mine, total_bps in ((~machine, wanted_bps), (machine, machines * each_bps)):
            part[mine] = total_bps * appetite[mine] / max(float(appetite[mine].sum()), 1e-9)
        return part.astype(np.float32)

    def demand_share(
        self,
        sim_time_s: NDArray[np.float64],
        week_second: NDArray[np.float64],
        factor: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (share of time with data of the UEs, share of busy-hour demand of the crowd) at many times.

        Args:
            sim_time_s: ``[num_times] float64``.
            week_second: ``[num_times] float64`` seconds since Monday 00:00, local time.
            factor: ``[num_users] float32`` what flash crowds make of it (:func:`twin.traffic.demand_factor`).

        Returns:
            ``[num_times, num_ues] float32`` and ``[num_times, num_crowd] float32``.
        """
        share = self.traffic.share(sim_time_s, week_second)
        share = share if factor is None else share * factor
        return traffic.duty_of(self.busy_duty, share[:, : self.num_ues]), share[:, self.num_ues :]
