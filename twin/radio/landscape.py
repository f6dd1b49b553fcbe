"""Where power goes in one scenario: what lies between every mast and every point, fixed for a seed.

Three things are told apart so that little is recomputed: the :class:`Landscape` (masts, maps, buildings: fixed, shared
by the present, the past and every what-if), the :class:`Points` (who listens where), and the :class:`Sectors` (what the
cells radiate now). :class:`twin.radio.field.RadioField` keeps the result for many users while things change;
:meth:`Landscape.gain_db` answers once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from twin.kernels import numpy_radio
from twin.kernels.numpy_radio import Air, Beams, Listeners, Ways
from twin.radio import antenna, link, path_loss, tables
from twin.radio.blockage import sight_of
from twin.radio.correlated import EDGE, STEPS, neighbour_correlation, normal_map, offsets
from twin.radio.tables import STOREY_M, USER_HEIGHT_M

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from twin.entities import Cell
    from twin.radio.radio_map import RadioMap
    from twin.scenario import Scenario

FEWEST_STOREYS, MOST_STOREYS = 4, 8
"""Of a building that no map tells about, TR 38.901 table 7.2-1."""
OFF_AIR_DBM = -1e4


@dataclass(slots=True, kw_only=True, eq=False)
class Points:
    """Where someone listens.

    Attributes:
        position_m: ``[n, 2] float32`` east, north.
        height_m: ``[n] float32`` above ground.
        indoor: ``[n] bool``.
        coated: ``[n] bool``, behind coated glass (high entry loss) when indoors.
        depth_loss_db: ``[n] float32``, indoor depth and entry spread, 0 outdoors.
    """

    position_m: NDArray[np.float32]
    height_m: NDArray[np.float32]
    indoor: NDArray[np.bool_]
    coated: NDArray[np.bool_]
    depth_loss_db: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Points:
        """Return a copy of the chosen rows."""
        parts = [getattr(self, name)[rows] for name in _PARTS]
        return Points(
            **dict(zip(_PARTS, [part.copy() for part in parts] if isinstance(rows, slice) else parts, strict=True))
        )

    def put(self, rows: NDArray[np.int64], other: Points) -> None:
        """Replace rows in place."""
        for name in _PARTS:
            getattr(self, name)[rows] = getattr(other, name)

    def __len__(self) -> int:
        return len(self.position_m)


_PARTS = tuple(one.name for one in fields(Points))


def outdoor_points(position_m: NDArray[np.float32]) -> Points:
    """Return points at street level."""
    count = len(position_m)
    return Points(
        position_m=position_m.astype(np.float32),
        height_m=np.full(count, USER_HEIGHT_M, dtype=np.float32),
        indoor=np.zeros(count, dtype=bool),
        coated=np.zeros(count, dtype=bool),
        depth_loss_db=np.zeros(count, dtype=np.float32),
    )


def indoor_points(
    position_m: NDArray[np.float32],
    indoor: NDArray[np.bool_],
    *,
    rng: np.random.Generator,
    storeys: NDArray[np.int64] | None = None,
    rural: NDArray[np.bool_] | None = None,
) -> Points:
    """Return points of which some are indoors, with entry losses and floors drawn once (TR 38.901 section 7.4.3.1).

    Half of the indoor points are behind coated glass, as in the 3GPP calibration campaign. In the country (RMa) nobody
    is, and houses are 10 m deep instead of 25 m.

    Args:
        position_m: ``[n, 2]`` east, north.
        indoor: ``[n] bool``.
        rng: Source of chance.
        storeys: ``[n]`` floors of the building, 0 = unknown: 4 to 8 (table 7.2-1); None = all unknown.
        rural: ``[n] bool``, the house stands in the country; None = none does.
    """
    count = len(position_m)
    country = np.zeros(count, dtype=bool) if rural is None else rural
    coated = (rng.random(count) < 0.5) & ~country
    deepest_m = np.where(country, path_loss.MAX_RURAL_DEPTH_M, path_loss.MAX_INDOOR_DEPTH_M)
    depth_m = rng.random((2, count)).min(axis=0) * deepest_m
    sigma = np.where(coated, path_loss.ENTRY_SIGMA_DB[1], path_loss.ENTRY_SIGMA_DB[0])
    loss = path_loss.INDOOR_LOSS_DB_PER_M * depth_m + sigma * rng.standard_normal(count)
    guessed = rng.integers(FEWEST_STOREYS, MOST_STOREYS + 1, count)
    floors = guessed if storeys is None else np.where(storeys > 0, storeys, guessed)
    return Points(
        position_m=position_m.astype(np.float32),
        height_m=np.where(indoor, height_on_floor_m(floors, rng.random(count)), USER_HEIGHT_M).astype(np.float32),
        indoor=indoor,
        coated=coated & indoor,
        depth_loss_db=np.where(indoor, loss, 0.0).astype(np.float32),
    )


def height_on_floor_m(storeys: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the height of a user on one of a building's floors: 3 (n - 1) + 1.5 m (TR 38.901 table 7.2-1).

    Args:
        storeys: ``[n]`` floors of the building, at least 1.
        share: ``[n]`` how far up, 0..1 without 1; all floors are equally likely.
    """
    return (STOREY_M * np.floor(share * storeys) + USER_HEIGHT_M).astype(np.float32)


def obstacle_loss_db(position_m: NDArray[np.float32], discs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what obstacles take from ways that end at these points, ``[n] float32``.

    Args:
        position_m: ``[n, 2]`` east, north.
        discs: ``[k, 4]`` east, north, radius in metres, loss in dB.
    """
    loss = np.zeros(len(position_m), dtype=np.float32)
    for east, north, radius, extra in discs:
        offset = position_m - np.array([east, north], dtype=np.float32)
        loss[(offset * offset).sum(axis=1) <= radius * radius] += extra
    return loss


class _Derived(NamedTuple):
    key: bytes
    noise_mw: NDArray[np.float64]
    rsrp_offset_db: NDArray[np.float32]
    num_prb: NDArray[np.int64]
    carriers_hz: NDArray[np.float64]
    carrier_number: NDArray[np.int64]
    beam_gain_db: NDArray[np.float32]


@dataclass(slots=True, kw_only=True, eq=False)
class Sectors:
    """What the cells radiate, as live inputs: write into the arrays, then tell the field.

    Attributes:
        boresight_deg: ``[C] float32``, mechanical azimuth plus electrical offset, clockwise from north.
        tilt_deg: ``[C] float32`` electrical, positive = down.
        shape: ``[C] int64`` coverageShape, see :func:`twin.radio.antenna.beamwidth_deg`.
        power_dbm: ``[C] float32`` radiated carrier power, faults included.
        on_air: ``[C] bool``, False when locked or asleep.
        carrier_hz: ``[C] float64``.
        bandwidth_hz: ``[C] float64``.
    """

    boresight_deg: NDArray[np.float32]
    tilt_deg: NDArray[np.float32]
    shape: NDArray[np.int64]
    power_dbm: NDArray[np.float32]
    on_air: NDArray[np.bool_]
    carrier_hz: NDArray[np.float64]
    bandwidth_hz: NDArray[np.float64]
    _kept: _Derived | None = field(default=None, repr=False)

    @property
    def noise_mw(self) -> NDArray[np.float64]:
        """Thermal noise plus noise figure over each cell's bandwidth, ``[C]``."""
        return self._derived().noise_mw

    @property
    def rsrp_offset_db(self) -> NDArray[np.float32]:
        """How far RSRP is below the power of the whole carrier, ``[C]``; swept beams make up for some of it."""
        return self._derived().rsrp_offset_db

    @property
    def num_prb(self) -> NDArray[np.int64]:
        """Physical resource blocks of each cell, ``[C]``."""
        return self._derived().num_prb

    @property
    def carrier_number(self) -> NDArray[np.int64]:
        """Cells with the same number disturb each other, ``[C]``; 0 to :attr:`num_carriers` - 1."""
        return self._derived().carrier_number

    @property
    def num_carriers(self) -> int:
        """How many carriers there are."""
        return len(self._derived().carriers_hz)

    @property
    def beam_gain_db(self) -> NDArray[np.float32]:
        """What a beam adds for the user it points at, and for nobody else, ``[C]``; in RSRP, not in received power."""
        return self._derived().beam_gain_db

    def _derived(self) -> _Derived:
        # The arrays may be written into at any time; comparing their bytes costs a microsecond.
        key = self.bandwidth_hz.tobytes() + self.carrier_hz.tobytes()
        if self._kept is None or self._kept.key != key:
            carriers, number = np.unique(self.carrier_hz, return_inverse=True)
            width = self.bandwidth_hz.tolist()
            beam_gain_db = np.array([antenna.panel_of(float(hz)).beam_gain_db for hz in self.carrier_hz], np.float32)
            self._kept = _Derived(
                key=key,
                noise_mw=np.array([link.noise_mw(hz) for hz in width]),
                rsrp_offset_db=np.array([link.rsrp_offset_db(hz) for hz in width], dtype=np.float32) - beam_gain_db,
                num_prb=np.array([link.num_resource_blocks(hz) for hz in width], dtype=np.int64),
                carriers_hz=carriers,
                carrier_number=number.reshape(-1),
                beam_gain_db=beam_gain_db,
            )
        return self._kept


def sectors_of(cells: Sequence[Cell]) -> Sectors:
    """Return the cells as configured in a scenario."""
    return Sectors(
        boresight_deg=np.array([cell.azimuth_deg for cell in cells], dtype=np.float32),
        tilt_deg=np.array([cell.tilt_deg for cell in cells], dtype=np.float32),
        shape=np.zeros(len(cells), dtype=np.int64),
        power_dbm=np.array([cell.tx_power_dbm for cell in cells], dtype=np.float32),
        on_air=np.array([cell.administrative_state.value == "UNLOCKED" for cell in cells], dtype=bool),
        carrier_hz=np.array([cell.carrier_hz for cell in cells], dtype=np.float64),
        bandwidth_hz=np.array([cell.bandwidth_hz for cell in cells], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mast:
    """One set of co-located sectors in one kind of surroundings; carriers may change."""

    site_id: str
    environment: path_loss.Environment
    position_m: tuple[float, float]
    height_m: float


def _masts(scenario: Scenario) -> tuple[tuple[Mast, ...], NDArray[np.int64]]:
    sites = {site.id: site for site in scenario.sites}
    number: dict[tuple[str, str], int] = {}
    masts: list[Mast] = []
    of_cell: list[int] = []
    for cell in scenario.cells:
        key = (cell.site_id, cell.environment)
        if key not in number:
            site = sites[cell.site_id]
            number[key] = len(masts)
            masts.append(
                Mast(
                    site_id=site.id,
                    environment=cell.environment,
                    position_m=site.position_m[:2],
                    height_m=max(site.height_m, USER_HEIGHT_M + 1.0),
                )
            )
        of_cell.append(number[key])
    return tuple(masts), np.array(of_cell, dtype=np.int64)


class Landscape:
    """The radio landscape of one scenario: fixed for a seed, the same for the past, the present and a what-if.

    Line of sight to outdoor users is what the buildings leave of it (:mod:`twin.radio.blockage`); off the map, and
    where the scenario has no buildings, it is drawn by its probability from a field with 50 m memory. Shadowing has a
    map for LOS and one for NLOS. Users indoors have a single shadowing with 7 m memory (table 7.5-6, column O2I): the
    NLOS map read at places stretched by the ratio of both memories. The maps take 3 MB for each kind of surroundings,
    however many masts there are; the rasters of the buildings at most 256 MB.

    Args:
        scenario: The city and its cells.
        rng: Source of shadowing and line-of-sight maps.
        wrap_m: ``[k, 2]`` where the whole network stands once more; each user hears the nearest image of a mast, and
            no buildings.
        radio_map: Takes the place of path loss, sight and shadowing for users outdoors where it reaches.

    Attributes:
        masts: Where antennas are.
        mast_of_cell: ``[C] int64``.
        air: What the kernels read.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        rng: np.random.Generator,
        wrap_m: Sequence[tuple[float, float]] | NDArray[np.float32] = (),
        radio_map: RadioMap | None = None,
    ) -> None:
        self._radio_map = radio_map
        self.masts, self.mast_of_cell = _masts(scenario)
        self._mast_m = np.array([(*mast.position_m, mast.height_m) for mast in self.masts], "f4").reshape(-1, 3)
        self._environments: list[path_loss.Environment] = sorted({mast.environment for mast in self.masts})
        self._environment = np.array([self._environments.index(mast.environment) for mast in self.masts], np.int32)
        images_m = np.concatenate([np.zeros((1, 2)), np.asarray(wrap_m, dtype=np.float64).reshape(-1, 2)])
        self.air = self._maps(scenario, rng, images_m.astype(np.float32))
        self._offset = offsets(len(self.masts), rng=rng).astype(np.int32)
        self._ways = lru_cache(maxsize=8)(self._make_ways)

    def _maps(self, scenario: Scenario, rng: np.random.Generator, images_m: NDArray[np.float32]) -> Air:
        count = len(self._environments)
        sight = np.empty((count, EDGE, EDGE), dtype=np.float32)
        shadow = np.empty((count, EDGE, EDGE, 2), dtype=np.float32)
        per_m, sigma_db = np.empty((2, count, 3), dtype=np.float32)
        alike = np.empty((count, 3, 2), dtype=np.float32)
        for number, environment in enumerate(self._environments):
            sight_m = path_loss.SIGHT_DECORRELATION_M[environment]
            shadow_m = path_loss.DECORRELATION_M[environment]
            pitch_m = min(shadow_m) / STEPS
            indoor_pitch_m = pitch_m * path_loss.INDOOR_DECORRELATION_M[environment] / shadow_m[1]
            per_m[number] = STEPS / sight_m, 1.0 / pitch_m, 1.0 / indoor_pitch_m
            sigma_db[number] = *path_loss.SHADOWING_SIGMA_DB[environment], path_loss.INDOOR_SIGMA_DB[environment]
            sight[number] = normal_map(decorrelation_m=sight_m, pitch_m=sight_m / STEPS, rng=rng)
            alike[number, 0] = neighbour_correlation(decorrelation_m=sight_m, pitch_m=sight_m / STEPS)
            for kind, memory_m in enumerate(shadow_m):
                shadow[number, :, :, kind] = normal_map(decorrelation_m=memory_m, pitch_m=pitch_m, rng=rng)
                alike[number, kind + 1] = neighbour_correlation(decorrelation_m=memory_m, pitch_m=pitch_m)
        buildings = scenario.buildings if len(images_m) == 1 else ()
        seen = sight_of(buildings, scenario.extent_m, self._mast_m)
        return Air(
            corner_m=np.array(scenario.extent_m[:2], dtype=np.float32),
            sight=sight,
            shadow=shadow,
            per_m=per_m,
            alike=alike,
            sigma_db=sigma_db,
            images_m=images_m,
            raster=seen.raster,
            seen=seen.seen,
        )

    def ways(self, carrier_hz: NDArray[np.float64]) -> tuple[Ways, NDArray[np.int32]]:
        """Return the ways in use when cells have these carriers, and which one is each cell's, ``[C] int32``."""
        return self._ways(tuple(carrier_hz.tolist()))

    def _make_ways(self, carrier_hz: tuple[float, ...]) -> tuple[Ways, NDArray[np.int32]]:
        pairs = list(zip(self.mast_of_cell.tolist(), carrier_hz, strict=True))
        known = sorted(set(pairs))
        number = {pair: way for way, pair in enumerate(known)}
        kinds: dict[tuple[path_loss.Environment, float, float], int] = {}
        table: list[int] = []
        for mast, hz in known:
            kind = (self.masts[mast].environment, self.masts[mast].height_m, hz)
            table.append(kinds.setdefault(kind, len(kinds)))
        mast = np.array([pair[0] for pair in known], dtype=np.int32)
        loss_db = [tables.loss_table(kind[0], mast_height_m=kind[1], carrier_hz=kind[2]) for kind in kinds]
        ways = Ways(
            mast_m=self._mast_m[mast],
            mast=mast,
            environment=self._environment[mast],
            offset=self._offset[mast],
            table=np.array(table, dtype=np.int32),
            indoors=np.array([self.masts[mast].environment == "InH" for mast, _ in known], dtype=bool),
            wall_db=np.array(
                [_walls_db(self.masts[mast].environment, hz) for mast, hz in known], dtype=np.float32
            ).reshape(-1, 3),
            loss_db=np.stack(loss_db) if loss_db else np.zeros((0, 1, 2, 4), dtype=np.float32),
            layer=self._layers([(self.masts[mast].site_id, hz) for mast, hz in known]),
        )
        return ways, np.array([number[pair] for pair in pairs], dtype=np.int32)

    def _layers(self, masts: list[tuple[str, float]]) -> NDArray[np.int64]:
        return np.full(len(masts), -1) if self._radio_map is None else self._radio_map.layers(masts)

    def mapped_db(self, points: Points, ways: Ways) -> NDArray[np.float32]:
        """Return the path gains of the radio map, ``[n, P] float32``, NaN where it has none; ``[n, 0]`` without one."""
        if self._radio_map is None:
            return np.zeros((len(points), 0), dtype=np.float32)
        gain_db = self._radio_map.at(points.position_m, ways.layer)
        gain_db[points.indoor] = np.nan
        return gain_db

    def beams(self, sectors: Sectors) -> Beams:
        """Return the antennas of all cells as they are now."""
        count = len(self.mast_of_cell)
        shape = (count, tables.ANGLE_BINS + 1)
        beams = Beams(
            way=np.zeros(count, dtype=np.int32),
            peak_dbi=np.zeros(count, dtype=np.float32),
            array_db=np.zeros(shape, dtype=np.float32),
            horizontal_db=np.zeros(shape, dtype=np.float32),
            vertical_db=tables.element_vertical_db(),
            power_dbm=np.zeros(count, dtype=np.float32),
            offset_db=np.zeros(count, dtype=np.float32),
        )
        turn(beams, sectors, np.arange(count))
        radiate(beams, sectors)
        return beams

    def gain_db(
        self,
        points: Points,
        sectors: Sectors,
        cells: NDArray[np.int64] | None = None,
        *,
        discs: NDArray[np.float32] | None = None,
        hear: Callable[..., None] = numpy_radio.hear,
    ) -> NDArray[np.float32]:
        """Return antenna plus path gain, ``[num_points, len(cells)] float32``; all cells when `cells` is None.

        Args:
            points: Who listens.
            sectors: All cells.
            cells: Columns of cells to answer for.
            discs: Obstacles, see :func:`obstacle_loss_db`.
            hear: Kernel.
        """
        ways, way = self.ways(sectors.carrier_hz)
        beams = self.beams(sectors)
        beams.way[:] = way
        chosen = np.arange(len(way)) if cells is None else np.asarray(cells, dtype=np.int64)
        extra = None if discs is None else obstacle_loss_db(points.position_m, discs)
        gain, power, level = (np.empty((len(points), len(way)), dtype=np.float32) for _ in range(3))
        rows = np.arange(len(points))
        who = listeners(points, self.mapped_db(points, ways), extra)
        hear(who, self.air, ways, beams, rows, chosen, gain, power, level)
        return gain if cells is None else gain[:, chosen]


def _walls_db(environment: path_loss.Environment, carrier_hz: float) -> tuple[float, float, float]:
    """Return the entry loss of users outdoors, behind low-loss walls and behind high-loss ones.

    A cell in an office (InH) has its indoor users inside with it; the walls are between it and the street, half of
    the houses having walls of either kind: the mean. Houses of RMa have low-loss walls only (TR 38.901 section
    7.4.3.1).
    """
    low, high = path_loss.entry_loss_db(carrier_hz)
    match environment:
        case "InH":
            return (low + high) / 2.0, 0.0, 0.0
        case "RMa":
            return 0.0, low, low
        case _:
            return 0.0, low, high


def listeners(points: Points, mapped_db: NDArray[np.float32], extra_db: NDArray[np.float32] | None = None) -> Listeners:
    """Return points as the kernels take them, with path gains of a radio map and a further loss ``[n]`` at each."""
    return Listeners(
        place_m=np.ascontiguousarray(points.position_m),
        height_m=points.height_m,
        level=tables.level_of(points.height_m),
        wall=points.indoor.astype(np.int32) + (points.coated & points.indoor),
        depth_db=points.depth_loss_db,
        loss_db=np.zeros(len(points), dtype=np.float32) if extra_db is None else extra_db,
        mapped_db=mapped_db,
    )


def turn(beams: Beams, sectors: Sectors, columns: NDArray[np.int64]) -> None:
    """Carry tilt, azimuth, shape and band of some cells over to their pattern tables."""
    width_deg = antenna.beamwidth_deg(sectors.shape)
    for column in columns.tolist():
        panel = antenna.panel_of(float(sectors.carrier_hz[column]))
        wide = float(width_deg[column])
        beams.peak_dbi[column] = antenna.peak_gain_dbi(wide)
        beams.horizontal_db[column] = tables.element_horizontal_db(float(sectors.boresight_deg[column]), wide)
        beams.array_db[column] = tables.array_table_db(
            float(sectors.tilt_deg[column]),
            num_rows=panel.rows,
            row_spacing_wavelengths=panel.row_spacing_wavelengths,
        )


def radiate(beams: Beams, sectors: Sectors) -> None:
    """Carry power, state and bandwidth of all cells over."""
    beams.power_dbm[:] = np.where(sectors.on_air, sectors.power_dbm, np.float32(OFF_AIR_DBM))
    beams.offset_db[:] = sectors.rsrp_offset_db


def received_mw(gain_db: NDArray[np.float32], sectors: Sectors) -> NDArray[np.float32]:
    """Return received carrier power in milliwatts at full load, 0 from cells that are off the air."""
    exponent = (gain_db + sectors.power_dbm) * np.float32(np.log(10.0) / 10.0)
    return np.exp(exponent) * sectors.on_air


def rsrp_dbm(gain_db: NDArray[np.float32], sectors: Sectors) -> NDArray[np.float32]:
    """Return the RSRP, -300 dBm from cells that are off the air."""
    level = gain_db + sectors.power_dbm - sectors.rsrp_offset_db
    return np.where(sectors.on_air, level, np.float32(numpy_radio.SILENCE_DBM))
