"""What the radio field of a network gets from 6G parts: the light of panels, the shadows of bodies.

Both are contributors of :class:`twin.radio.field.RadioField`; they work on the rows and columns that it is computing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.kernels.numpy_radio import SILENCE_DBM
from twin.radio import antenna
from twin.radio.blockage import Sight, sight_of
from twin.radio.landscape import received_mw, rsrp_dbm
from twin.sixg import sub_terahertz
from twin.sixg.ris import REACH_M, STREET_HEIGHT_M, Surface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.radio.field import Contributor
    from twin.radio.landscape import Landscape, Points, Sectors
    from twin.scenario import Scenario


class Bodies:
    """People in the line of sight to hot-spots above 100 GHz.

    Args:
        landscape: Where the masts are.
        sectors: What is radiated; live.
        seed: Of the world.
    """

    def __init__(self, landscape: Landscape, sectors: Sectors, *, seed: int) -> None:
        self._landscape, self._sectors, self._seed = landscape, sectors, seed
        spots = [number for number, mast in enumerate(landscape.masts) if mast.environment == "SubTHz"]
        self._spots = np.array(spots, dtype=np.int64)

    def add(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        points: Points,
        received_mw: NDArray[np.float32],
    ) -> None:
        """Take off what bodies hide, see :class:`twin.radio.field.Contributor`."""
        del rows
        mast_of_column = self._landscape.mast_of_cell[columns]
        for number in self._spots[np.isin(self._spots, mast_of_column)]:
            mast = self._landscape.masts[int(number)]
            offset = points.position_m - np.array(mast.position_m, dtype=np.float32)
            chance = sub_terahertz.body_probability(np.hypot(*offset.T), mast_height_m=mast.height_m)
            hidden = sub_terahertz.behind_body(points.position_m, chance, seed=self._seed, mast=int(number))
            here = np.flatnonzero(mast_of_column == number)
            loss_db = [sub_terahertz.body_loss_db(hz) for hz in self._sectors.carrier_hz[columns[here]]]
            left = 10.0 ** (-np.array(loss_db, dtype=np.float32) / np.float32(10.0))
            received_mw[np.ix_(hidden, here)] *= left


class Surfaces:
    """The panels of a network.

    A panel passes on what the sectors of one mast send on its carrier, to users on the street in front of it. Into
    buildings it does not shine.

    Args:
        scenario: Panels, cells and buildings.
        landscape: Where the masts are, and what they see.
        sectors: What is radiated; live.
    """

    def __init__(self, scenario: Scenario, landscape: Landscape, sectors: Sectors) -> None:
        self._sectors = sectors
        cells = {cell.id: cell for cell in scenario.cells}
        self._carrier_hz = np.array([cells[panel.cell_id].carrier_hz for panel in scenario.ris])
        column = {cell.id: number for number, cell in enumerate(scenario.cells)}
        self._mast = landscape.mast_of_cell[[column[panel.cell_id] for panel in scenario.ris]]
        self._mast_of_cell = landscape.mast_of_cell
        at_m = np.array([panel.position_m for panel in scenario.ris], dtype=np.float32).reshape(-1, 3)
        self._sight = (
            sight_of(scenario.buildings, scenario.extent_m, at_m) if scenario.buildings and len(at_m) else None
        )
        self._feed_m = [
            (*landscape.masts[int(mast)].position_m, landscape.masts[int(mast)].height_m) for mast in self._mast
        ]
        self._surface = [
            Surface(panel, carrier_hz=float(hz), feed_m=feed_m)
            for panel, hz, feed_m in zip(scenario.ris, self._carrier_hz, self._feed_m, strict=True)
        ]
        self._lit = np.ones(len(scenario.ris), dtype=bool)
        if self._sight is not None:
            over_roofs = Sight(raster=landscape.air.raster, seen=landscape.air.seen)
            self._lit = over_roofs.sees(at_m[:, :2], at_m[:, 2])[self._mast, np.arange(len(at_m))]
        self._index = np.array([panel.phase_profile_index for panel in scenario.ris], dtype=np.int64)

    def tune(self, index: NDArray[np.float64]) -> bool:
        """Put phase profiles ``[num_panels]`` in force and return whether one is another than before."""
        changed = bool((index != self._index).any())
        self._index[:] = index
        return changed

    def add(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        points: Points,
        received_mw: NDArray[np.float32],
    ) -> None:
        """Add the light of the panels, see :class:`twin.radio.field.Contributor`."""
        del rows
        street = np.flatnonzero(~points.indoor)
        place_m = np.column_stack([points.position_m[street], np.full(len(street), STREET_HEIGHT_M)]).astype(np.float64)
        for number in np.flatnonzero(self._lit):
            here = np.flatnonzero(
                (self._mast_of_cell[columns] == self._mast[number])
                & (np.abs(self._sectors.carrier_hz[columns] / self._carrier_hz[number] - 1.0) < 0.05)
                & self._sectors.on_air[columns]
            )
            some = self._before(int(number), place_m) if len(here) else np.zeros(0, dtype=np.int64)
            if not len(some):
                continue
            way = self._surface[number].gain(self._feed_m[number], place_m[some], index=int(self._index[number]))
            sent_mw = 10.0 ** (
                (self._sectors.power_dbm[columns[here]] + self._aim_dbi(int(number), columns[here])) / 10
            )
            received_mw[np.ix_(street[some], here)] += (way[:, None] * sent_mw).astype(np.float32)

    def _before(self, number: int, place_m: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the places that a panel sees."""
        wave = self._surface[number].wave(place_m)
        near = np.flatnonzero((wave.ahead > 0.0) & (wave.distance_m <= REACH_M))
        if self._sight is None or not len(near):
            return near
        return near[self._sight.sees(place_m[near, :2], STREET_HEIGHT_M)[number]]

    def _aim_dbi(self, number: int, columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain of cells towards a panel as they are tilted and turned now, ``[k]``."""
        sectors = self._sectors
        offset = np.array(self._surface[number].panel.position_m) - np.array(self._feed_m[number])
        zenith_deg = np.array([90.0 - np.degrees(np.arctan2(offset[2], np.hypot(offset[0], offset[1])))])
        azimuth_deg = np.degrees(np.arctan2(offset[0], offset[1]))
        width_deg = antenna.beamwidth_deg(sectors.shape[columns])
        rows = antenna.panel_of(float(self._carrier_hz[number])).rows
        element = antenna.element_gain_dbi(
            zenith_deg, azimuth_deg - sectors.boresight_deg[columns], horizontal_deg=width_deg
        )
        return element + antenna.array_factor_db(zenith_deg, sectors.tilt_deg[columns], num_rows=rows)


def contributors_of(
    scenario: Scenario, landscape: Landscape, sectors: Sectors, *, seed: int
) -> tuple[Bodies | Surfaces, ...]:
    """Return what a scenario has of both, bodies first; nothing where it has neither."""
    parts: list[Bodies | Surfaces] = []
    if any(mast.environment == "SubTHz" for mast in landscape.masts):
        parts.append(Bodies(landscape, sectors, seed=seed))
    if scenario.ris:
        parts.append(Surfaces(scenario, landscape, sectors))
    return tuple(parts)


def contributed(
    gain_db: NDArray[np.float32], points: Points, sectors: Sectors, contributors: Sequence[Contributor]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return power at full load (mW) and RSRP (dBm) of all cells at some points, ``[n, C] float32`` each.

    Args:
        gain_db: ``[n, C]`` of the direct way.
        points: Who listens.
        sectors: What is radiated.
        contributors: What adds to it.
    """
    power = received_mw(gain_db, sectors)
    if not contributors:
        return power, rsrp_dbm(gain_db, sectors)
    for one in contributors:
        one.add(np.arange(len(points)), np.arange(power.shape[1]), points, power)
    level = np.float32(10.0) * np.log10(np.maximum(power, np.float32(1e-30))) - sectors.rsrp_offset_db
    return power, np.where(power > 0, level, np.float32(SILENCE_DBM))
