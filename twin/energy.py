"""Mains power of a cell from what it radiates and whether it sleeps: two published models behind one formula.

EARTH (Auer et al., IEEE Wireless Communications 18(5), 2011, table 2) gives watts by class of station: chains x
(P0 + slope x radiated per chain), less when asleep. TR 38.864 section 6.1 gives relative units by the state that each
slot is in. Both are a constant part plus a part that grows with the radiated share, and so one array formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from twin.radio.link import TDD_DOWNLINK_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Cell

StationClass = Literal["macro", "rrh", "micro", "pico"]
Model = Literal["earth", "tr38864"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarthRow:
    """One class of station per transceiver chain.

    Attributes:
        idle_w: P0, drawn while nothing is radiated.
        slope: Mains watts per radiated watt.
        sleep_w: Drawn when asleep.
        max_output_w: Radiated at full load.
    """

    idle_w: float
    slope: float
    sleep_w: float
    max_output_w: float


EARTH: dict[StationClass, EarthRow] = {
    "macro": EarthRow(idle_w=130.0, slope=4.7, sleep_w=75.0, max_output_w=20.0),
    "rrh": EarthRow(idle_w=84.0, slope=2.8, sleep_w=56.0, max_output_w=20.0),
    "micro": EarthRow(idle_w=56.0, slope=2.6, sleep_w=39.0, max_output_w=6.3),
    "pico": EarthRow(idle_w=6.8, slope=4.0, sleep_w=4.3, max_output_w=0.13),
}
CLASS_BY_ENVIRONMENT: dict[str, StationClass] = {"UMi": "micro", "InH": "pico", "SubTHz": "pico"}
REMOTE_FROM_HZ = 7.125e9
"""Above FR1 the amplifiers of a macro station sit at its antennas: a remote radio head, without feeders to heat."""

DEEP_SLEEP, MICRO_SLEEP, ACTIVE_DL, ACTIVE_UL = 1.0, 55.0, 280.0, 110.0
"""TR 38.864 relative power of a category 1 station. Light sleep (25, 6 ms there and back) is left out: between two
SSB bursts a cell that may get users at any time stays in micro sleep, which costs no time. What switching costs is
left out too: deep sleep takes 50 ms there and back, less than a tick, and lasts for minutes."""
UPLINK_SLOTS = 1.0 - TDD_DOWNLINK_SHARE
"""Share of slots for uplink in a usual TDD pattern; as busy as the downlink."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerModel:
    """Mains power, each ``[num_cells] float32``.

    Attributes:
        idle_w: Drawn while nothing is radiated.
        slope: Mains watts per radiated watt.
        sleep_w: Drawn when asleep or locked.
    """

    idle_w: NDArray[np.float32]
    slope: NDArray[np.float32]
    sleep_w: NDArray[np.float32]

    def draw_w(self, radiated_w: NDArray[np.float32], *, awake: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the mains power of each cell, shape of `radiated_w`.

        Args:
            radiated_w: Mean radiated power now, ``[..., num_cells]``.
            awake: False where the radio is off, ``[num_cells]``.
        """
        return np.where(awake, self.idle_w + self.slope * radiated_w, self.sleep_w)


def num_chains(rated_w: NDArray[np.float32], per_chain_w: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how many transceiver chains cells of these rated powers have, at least one."""
    return np.maximum(1.0, np.ceil(rated_w / per_chain_w - 0.01)).astype(np.float32)


def station_class(cell: Cell) -> StationClass:
    """Return the class of station that a cell is, by where it stands and by its carrier."""
    large = "rrh" if cell.carrier_hz >= REMOTE_FROM_HZ else "macro"
    return CLASS_BY_ENVIRONMENT.get(cell.environment, large)


def power_model(cells: Sequence[Cell], *, model: Model = "earth") -> PowerModel:
    """Return the power model of a scenario's cells.

    Args:
        cells: Their rated power and environment count.
        model: "earth", or "tr38864": the same hardware by the states of TR 38.864, with one unit worth so many watts
            that a fully loaded cell draws what EARTH says. Idle slots are micro sleep, a cell off the air is in deep
            sleep; the two differ in how little an idle or sleeping cell draws.
    """
    rows = [EARTH[station_class(cell)] for cell in cells]
    rated_w = np.array([10 ** (cell.tx_power_dbm / 10 - 3) for cell in cells], dtype=np.float32)
    chains = num_chains(rated_w, np.array([row.max_output_w for row in rows], dtype=np.float32))
    idle_w = chains * np.array([row.idle_w for row in rows], dtype=np.float32)
    slope = np.array([row.slope for row in rows], dtype=np.float32)
    if model == "earth":
        sleep_w = chains * np.array([row.sleep_w for row in rows], dtype=np.float32)
        return PowerModel(idle_w=idle_w, slope=slope, sleep_w=sleep_w)
    busy = (1.0 - UPLINK_SLOTS) * ACTIVE_DL + UPLINK_SLOTS * ACTIVE_UL
    unit_w = (idle_w + slope * rated_w) / busy
    return PowerModel(
        idle_w=(unit_w * MICRO_SLEEP).astype(np.float32),
        slope=(unit_w * (busy - MICRO_SLEEP) / np.maximum(rated_w, 1e-6)).astype(np.float32),
        sleep_w=(unit_w * DEEP_SLEEP).astype(np.float32),
    )
