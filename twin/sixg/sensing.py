"""What cells see by radar echo while they radiate: monostatic sensing of moving targets.

A cell gives a share of its downlink resources, `vsData6gIsac.sensingDutyCycle`, to a scan of its sector with
pencil beams, and listens to the echoes with the same panel. What the scan takes, data does not get. The radar
equation of a scan (Richards, Scheer, Holm, *Principles of Modern Radar*, vol. 1, equations 2.12 and 2.38)::

    SNR = P G^2 lambda^2 sigma T / ((4 pi)^3 R^4 k T0 F L),   T = duty x scan period / number of beams

T is the time that one beam dwells on the target in one scan; integrated coherently, power x T is all that counts and
the bandwidth cancels. Targets fluctuate from scan to scan as Swerling's case I, so that a threshold with the false
alarm probability P_fa finds them with P_d = P_fa^(1 / (1 + SNR)) (the same book, equation 15.37).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.radio import antenna
from twin.radio.blockage import Sight
from twin.radio.path_loss import SPEED_OF_LIGHT_MPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Position, SensingTarget
    from twin.radio.landscape import Landscape, Sectors
    from twin.scenario import Scenario

BOLTZMANN_J_PER_K = 1.380649e-23
REFERENCE_K = 290.0
NOISE_FIGURE_DB = 5.0
"""Of a base station, TR 38.802 table A.2.1-1."""
SYSTEM_LOSS_DB = 10.0
"""Straddling between beams, range cells and Doppler cells, quantisation, residues of clutter and of the own
transmitter; radar handbooks add up 5 to 15 dB."""
FALSE_ALARM = 1e-6
SCAN_PERIOD_S = 0.1
"""Every beam of the sector is visited once in this time; 10 looks a second suffice for a track."""
MIN_DISTANCE_M = 10.0
FIELD_OF_VIEW_DEG = 60.0
"""A panel scans this far to both sides of its boresight."""
NO_ECHO_DB = -100.0

DRONE_RCS_M2 = 10 ** (-12.81 / 10.0)
"""Mean cross-section of the small UAV that 3GPP agreed on for Release 19 (TR 38.901 V19 clause 7.9): -12.81 dBsm."""


def snr_db(
    distance_m: NDArray[np.float64],
    *,
    power_w: NDArray[np.float64],
    gain_dbi: NDArray[np.float64],
    carrier_hz: NDArray[np.float64],
    rcs_m2: NDArray[np.float64],
    dwell_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the signal-to-noise ratio of an echo after coherent integration; all arguments broadcast.

    Args:
        distance_m: Between radar and target.
        power_w: Radiated in the beam.
        gain_dbi: Of the antenna towards the target, the same for both ways.
        carrier_hz: Centre frequency.
        rcs_m2: Radar cross-section.
        dwell_s: Time on target; 0 gives :data:`NO_ECHO_DB`.
    """
    distance = np.maximum(distance_m, MIN_DISTANCE_M)
    wavelength_m = SPEED_OF_LIGHT_MPS / carrier_hz
    echo = power_w * 10.0 ** (gain_dbi / 5.0) * wavelength_m**2 * rcs_m2 * dwell_s / ((4.0 * np.pi) ** 3 * distance**4)
    noise_j = BOLTZMANN_J_PER_K * REFERENCE_K * 10.0 ** ((NOISE_FIGURE_DB + SYSTEM_LOSS_DB) / 10.0)
    return 10.0 * np.log10(np.maximum(echo / noise_j, 10.0 ** (NO_ECHO_DB / 10.0)))


def detection_probability(echo_snr_db: NDArray[np.float64], *, false_alarm: float = FALSE_ALARM) -> NDArray[np.float64]:
    """Return the probability that one scan finds a target of Swerling's case I."""
    return false_alarm ** (1.0 / (1.0 + 10.0 ** (echo_snr_db / 10.0)))


def with_sensing(idle: NDArray[np.float32], duty: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of resources and power that is not for data when sensing takes its part of the rest.

    Args:
        idle: ``[num_cells] float32`` share of common signals.
        duty: ``[num_cells]`` share for sensing, 0..1.
    """
    return (idle + duty * (1.0 - idle)).astype(np.float32)


class Targets:
    """Where the targets of a scenario are at any time: round their paths at constant speed.

    Args:
        targets: In the order of the rows that :meth:`at` returns.
    """

    def __init__(self, targets: Sequence[SensingTarget]) -> None:
        self.rcs_m2 = np.array([one.rcs_m2 for one in targets], dtype=np.float64)
        self._speed_mps = [one.speed_mps for one in targets]
        self._rings = [np.array([*one.path_m, one.path_m[0]], dtype=np.float64) for one in targets]
        self._gone_m = [
            np.concatenate([[0.0], np.cumsum(np.sqrt((np.diff(ring, axis=0) ** 2).sum(axis=1)))])
            for ring in self._rings
        ]

    def __len__(self) -> int:
        return len(self._rings)

    def at(self, sim_time_s: float) -> NDArray[np.float64]:
        """Return the position of every target, ``[num_targets, 3]`` east, north, up."""
        places = np.empty((len(self._rings), 3))
        for row, (ring, gone_m, speed_mps) in enumerate(zip(self._rings, self._gone_m, self._speed_mps, strict=True)):
            here_m = (sim_time_s * speed_mps) % gone_m[-1] if gone_m[-1] > 0.0 else 0.0
            places[row] = [np.interp(here_m, gone_m, ring[:, axis]) for axis in range(3)]
        return places


@dataclass(frozen=True, slots=True, kw_only=True)
class Radar:
    """The cells as radars; fixed.

    Attributes:
        position_m: ``[num_cells, 3] float64`` antennas.
        carrier_hz: ``[num_cells] float64``.
        beams: ``[num_cells] float64`` pencil beams in a scan of the sector, one for each element of the panel.
        array_gain_db: ``[num_cells] float64`` of the whole panel over one element where its beam points.
        beamwidth_deg: ``[num_cells] float64`` of an element, horizontal.
    """

    position_m: NDArray[np.float64]
    carrier_hz: NDArray[np.float64]
    beams: NDArray[np.float64]
    array_gain_db: NDArray[np.float64]
    beamwidth_deg: NDArray[np.float64]

    def look(
        self,
        target_m: NDArray[np.float64],
        rcs_m2: NDArray[np.float64],
        *,
        boresight_deg: NDArray[np.float64],
        power_w: NDArray[np.float64],
        duty: NDArray[np.float64],
        seen: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return the SNR of every target at every cell, ``[num_targets, num_cells] float64`` in dB.

        Args:
            target_m: ``[num_targets, 3]``.
            rcs_m2: ``[num_targets]``.
            boresight_deg: ``[num_cells]``.
            power_w: ``[num_cells]`` radiated, 0 when off the air.
            duty: ``[num_cells]`` share of resources for sensing.
            seen: ``[num_targets, num_cells]`` nothing stands between.
        """
        offset = target_m[:, None, :] - self.position_m[None]
        ground_m = np.hypot(offset[..., 0], offset[..., 1])
        distance_m = np.hypot(ground_m, offset[..., 2])
        off_deg = np.degrees(np.arctan2(offset[..., 0], offset[..., 1])) - boresight_deg
        off_deg = np.abs((off_deg + 180.0) % 360.0 - 180.0)
        above_deg = np.degrees(np.arctan2(offset[..., 2], np.maximum(ground_m, 1e-3)))
        # A scan points the whole panel at the target; what is left of it there is the pattern of its elements.
        element_dbi = antenna.element_gain_dbi(90.0 - above_deg, off_deg, horizontal_deg=self.beamwidth_deg)
        gain_dbi = element_dbi + self.array_gain_db
        level = snr_db(
            distance_m,
            power_w=power_w,
            gain_dbi=gain_dbi,
            carrier_hz=self.carrier_hz,
            rcs_m2=rcs_m2[:, None],
            dwell_s=duty * SCAN_PERIOD_S / self.beams,
        )
        within = seen & (off_deg <= FIELD_OF_VIEW_DEG) & (np.abs(above_deg) <= FIELD_OF_VIEW_DEG)
        return np.where(within, level, NO_ECHO_DB)


class Sensing:
    """The cells of a network that look for its targets, and what they found since the last report.

    Args:
        scenario: Targets.
        landscape: Where the masts are, and what they see over the roofs.

    Attributes:
        sums: ``[num_cells, 4] float64`` seconds of sensing, seconds with a target in view, SNR (dB) of the best one
            times seconds, detection probability of the best one times seconds.
    """

    def __init__(self, scenario: Scenario, landscape: Landscape) -> None:
        self.targets = Targets(scenario.targets)
        self._landscape = landscape
        masts = np.array([(*mast.position_m, mast.height_m) for mast in landscape.masts]).reshape(-1, 3)
        self._antenna_m = masts[landscape.mast_of_cell]
        self.sums = np.zeros((len(scenario.cells), 4))

    def look(self, sim_time_s: float, sectors: Sectors, duty: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the SNR of every target at every cell now, ``[num_targets, num_cells] float64`` in dB.

        Args:
            sim_time_s: Now.
            sectors: What is radiated.
            duty: ``[num_cells]`` share of resources for sensing, 0..1.
        """
        panels = [antenna.panel_of(float(hz)) for hz in sectors.carrier_hz]
        elements = np.array([panel.rows * panel.columns for panel in panels], dtype=np.float64)
        radar = Radar(
            position_m=self._antenna_m,
            carrier_hz=sectors.carrier_hz,
            beams=elements,
            array_gain_db=10.0 * np.log10(elements),
            beamwidth_deg=antenna.beamwidth_deg(sectors.shape).astype(np.float64),
        )
        target_m = self.targets.at(sim_time_s)
        return radar.look(
            target_m,
            self.targets.rcs_m2,
            boresight_deg=sectors.boresight_deg.astype(np.float64),
            power_w=np.where(sectors.on_air, 10.0 ** (sectors.power_dbm / 10.0 - 3.0), 0.0),
            duty=duty,
            seen=self._seen(target_m),
        )

    def step(self, dt_s: float, sim_time_s: float, sectors: Sectors, duty: NDArray[np.float64]) -> None:
        """Count what cells see in one tick; arguments as in :meth:`look`."""
        if not len(self.targets) or not duty.any():
            return
        best_db = self.look(sim_time_s, sectors, duty).max(axis=0)
        senses, sees = duty > 0.0, best_db > NO_ECHO_DB
        found = np.where(sees, detection_probability(best_db), 0.0)
        self.sums += dt_s * np.column_stack([senses, sees, np.where(sees, best_db, 0.0), found])

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Return the KPIs since the last call, ``[num_cells]`` each, NaN where there is nothing to tell."""
        sensing_s, seen_s, level, found = self.sums.T
        columns = {
            "vsData6gSensingSnr": np.where(seen_s > 0.0, level / np.maximum(seen_s, 1e-9), np.nan),
            "vsData6gDetectionProbability": np.where(
                sensing_s > 0.0, 100.0 * found / np.maximum(sensing_s, 1e-9), np.nan
            ),
        }
        self.sums[:] = 0.0
        return columns

    def _seen(self, target_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return what stands over the roofs as each cell sees them, ``[num_targets, num_cells]``."""
        air = self._landscape.air
        if not len(air.seen):
            return np.ones((len(target_m), len(self._antenna_m)), dtype=bool)
        sight = Sight(raster=air.raster, seen=air.seen)
        return sight.sees(target_m[:, :2], target_m[:, 2])[self._landscape.mast_of_cell].T


def flight(around_m: Position, *, radius_m: float, corners: int = 8) -> tuple[Position, ...]:
    """Return a round path of a drone at one height."""
    east, north, up = (float(one) for one in around_m)
    turn = [2.0 * math.pi * corner / corners for corner in range(corners)]
    return tuple(
        (round(east + radius_m * math.sin(one), 1), round(north + radius_m * math.cos(one), 1), up) for one in turn
    )
