"""What a live network counts between two reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twin import counters
from twin.moments import CELL_FEATURES, SLICE_FEATURES
from twin.setup_failures import PROCEDURES, WINDOW_MINUTES, Window
from twin.transport import LINK_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.moments import Outcome
    from twin.random_access import RandomAccess
    from twin.setup_failures import Procedure
    from twin.world import World

_CONNECTED = CELL_FEATURES.index("connected")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetUpChance:
    """What decides whether set-ups succeed now.

    Attributes:
        week_second: ``[1] float64`` seconds since Monday 00:00.
        sim_time_s: Now.
        access: Accesses that were turned away.
        rng: Source of chance.
    """

    week_second: NDArray[np.float64]
    sim_time_s: float
    access: RandomAccess
    rng: np.random.Generator


class LiveCounts:
    """Sums of the running period, and the set-ups of the last 15 minutes.

    Attributes:
        cells: ``[num_cells, len(CELL_FEATURES)]`` sums times seconds.
        windows: Set-ups of the last 15 minutes by procedure.
    """

    def __init__(self, world: World, *, minute: int) -> None:
        scenario = world.scenario
        self._world = world
        self.cells = np.zeros((world.num_cells, len(CELL_FEATURES)))
        self._slices = np.zeros((len(scenario.slices), len(SLICE_FEATURES)))
        self._links = np.zeros((len(scenario.links), len(LINK_FEATURES)))
        self._most_connected = np.zeros(world.num_cells)
        self.windows: dict[Procedure, Window] = {name: Window(world.num_cells, minute=minute) for name in PROCEDURES}

    def take(self, outcome: Outcome, dt_s: float) -> None:
        """Count one tick."""
        self.cells += outcome.cells[0] * dt_s
        self._slices += outcome.slices[0] * dt_s
        self._links += outcome.links[0] * dt_s
        np.maximum(self._most_connected, outcome.cells[0][:, _CONNECTED], out=self._most_connected)

    def fill_windows(self, per_second: NDArray[np.float64], *, minute: int, chance: SetUpChance) -> None:
        """Let a full window of set-ups lie behind a network that has been running."""
        for back in range(WINDOW_MINUTES, 0, -1):
            self.set_ups(per_second * 60.0, minute=minute - back + 1, chance=chance)

    def set_ups(self, sums: NDArray[np.float64], *, minute: int, chance: SetUpChance) -> counters.SetUps:
        """Draw the set-ups that connections of a period asked for, and let them fail or not."""
        drawn = counters.draw_set_ups(
            self._world,
            sums[None],
            week_second=chance.week_second,
            sim_time_s=np.array([chance.sim_time_s]),
            rng=chance.rng,
            access=chance.access,
        )
        for name, (attempts, failures) in drawn.items():
            self.windows[name].add(minute, attempts[0], failures[0])
        return counters.SetUps(
            attempts=drawn["rrc"][0][0],
            failures=drawn["rrc"][1][0],
            preambles=counters.preambles(sums, drawn["rrc"][0][0], chance.access),
            rrc_percent=self.windows["rrc"].percent(),
            drb_percent=self.windows["drb"].percent(),
        )

    def values(
        self,
        set_ups: counters.SetUps,
        *,
        mobility: NDArray[np.float64],
        served_distance_m: NDArray[np.float64],
        more: dict[str, NDArray[np.float64]],
    ) -> NDArray[np.float32]:
        """Return the figures of the period, cells, slices and links in this order.

        Args:
            set_ups: Of this period.
            mobility: ``[num_cells, len(MOBILITY_FEATURES)]``.
            served_distance_m: ``[num_cells]``.
            more: Further counters of cells by name, ``[num_cells]`` each.
        """
        values = counters.report_values(
            cells=self.cells,
            slices=self._slices,
            links=self._links,
            set_ups=set_ups,
            mobility=mobility,
            most_connected=self._most_connected,
            served_distance_m=served_distance_m,
        )
        for name, column in more.items():
            values[: self._world.num_cells, counters.COUNTERS.index(name)] = column
        return values

    def clear(self) -> None:
        """Begin a new period."""
        for sums in (self.cells, self._slices, self._links, self._most_connected):
            sums[:] = 0.0

    def minutes(self) -> dict[Procedure, int]:
        """Return the minute that each window has come to."""
        return {name: window.minute for name, window in self.windows.items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        return {
            "cell_sums": self.cells,
            "slice_sums": self._slices,
            "link_sums": self._links,
            "most_connected": self._most_connected,
            **{f"attempts_{name}": self.windows[name].attempts for name in PROCEDURES},
            **{f"failures_{name}": self.windows[name].failures for name in PROCEDURES},
        }
