"""Binary frames for the page: numbers as typed arrays, a little JSON in front.

A frame is, little-endian: ``uint32`` length of the header, the header as UTF-8 JSON padded with blanks so that what
follows starts at a multiple of four, then the arrays in the order that the header's ``arrays`` names as
``[name, type, count]`` with type ``f4``, ``i4`` or ``u1``. Missing figures are NaN.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.attributes import to_native
from twin.entities import AdministrativeState, Kind
from twin.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from twin.ports import Inventory, TelemetryStore
    from twin.scenario import Scenario
    from twin.topology import Topology
    from twin_app.page_api import SinrRaster

_UE_COUNTERPART = {
    "DRB.UEThpDl": "DRB.UEThpDl",
    "vsData6gMeanSsRsrp": "RF.serving.RSRP",
    "vsData6gMeanSsSinr": "RF.serving.RSSINR",
}
"""The same figure as one UE sees it, so that UEs can wear the colours of the chosen KPI."""

_RASTER_LOW_DB = -30.0
_RASTER_STEPS_PER_DB = 4.0
_RASTER_MISSING = 255


def encode_frame(header: Mapping[str, Any], arrays: Sequence[tuple[str, NDArray[Any]]]) -> bytes:
    """Return header and arrays as one frame; every array must be float32, int32 or uint8."""
    described = [[name, array.dtype.str[1:], array.size] for name, array in arrays]
    text = json.dumps({**header, "arrays": described}, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    body = b"".join(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for _, array in arrays)
    return len(text).to_bytes(4, "little") + text + body


def raster_frame(raster: SinrRaster, *, revision: int) -> bytes:
    """Return the SINR raster as a frame with one byte per square: SINR = byte / 4 - 30 dB, 255 = nothing heard."""
    sinr_db = np.asarray(raster.sinr_db, dtype=np.float32)
    heard = np.isfinite(sinr_db)
    steps = np.clip(np.rint((sinr_db - _RASTER_LOW_DB) * _RASTER_STEPS_PER_DB), 0, _RASTER_MISSING - 1)
    squares = np.where(heard, np.nan_to_num(steps), _RASTER_MISSING).astype(np.uint8)
    rows, cols = squares.shape
    header = {
        "revision": revision,
        "west_m": float(raster.west_m),
        "south_m": float(raster.south_m),
        "cell_m": float(raster.cell_m),
        "rows": rows,
        "cols": cols,
        "low_db": _RASTER_LOW_DB,
        "steps_per_db": _RASTER_STEPS_PER_DB,
    }
    return encode_frame(header, [("squares", squares.ravel())])


def _known(sim_time_s: float) -> float | None:
    """Return the time, None before the first sample (JSON has no NaN)."""
    return sim_time_s if math.isfinite(sim_time_s) else None


class LiveFrames:
    """Makes the live frame; remembers the numbering of cells and UEs between calls.

    The header carries slow facts only when the page does not have them yet: the ids of the UEs when their list
    (``ues``, a checksum) changed, the configuration of the cells when the topology's ``revision`` changed.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._cells = tuple(cell.id for cell in scenario.cells)
        self._azimuth_deg = {cell.id: cell.azimuth_deg for cell in scenario.cells}
        self._revision: int | None = None
        self._cell_of_index: dict[int, int] = {}
        self._ue_ids: tuple[str, ...] = ()
        self._ues = 0

    def frame(
        self, inventory: Inventory, store: TelemetryStore, *, kpi: str, known_revision: int, known_ues: int
    ) -> bytes:
        """Return the newest positions, serving cells and figures; quick, reads RAM only."""
        topology = inventory.topology
        self._number_cells(topology)
        moved_s, ue_ids, position_m = store.positions()
        if ue_ids is not self._ue_ids and ue_ids != self._ue_ids:
            self._ues = zlib.crc32("\n".join(ue_ids).encode())
        self._ue_ids = ue_ids
        counterpart = _UE_COUNTERPART.get(kpi)
        measured_s, cell_values = self._aligned(store, Kind.CELL, kpi, self._cells)
        _, serving_index = self._aligned(store, Kind.UE, "vsData6gServingCell", ue_ids)
        arrays: list[tuple[str, NDArray[Any]]] = [
            ("east_m", np.ascontiguousarray(position_m[:, 0], dtype=np.float32)),
            ("north_m", np.ascontiguousarray(position_m[:, 1], dtype=np.float32)),
            ("serving", self._serving(serving_index)),
            ("cell_value", cell_values),
        ]
        if counterpart is not None:
            arrays.append(("ue_value", self._aligned(store, Kind.UE, counterpart, ue_ids)[1]))
        header: dict[str, Any] = {
            "sim_time_s": _known(moved_s),
            "kpi": kpi,
            "kpi_sim_time_s": measured_s,
            "now_s": inventory.now_s,
            "at": inventory.civil.rfc3339(inventory.now_s),
            "absent_s": inventory.absent_s,
            "revision": topology.revision,
            "ues": self._ues,
        }
        if known_ues != self._ues:
            header["ue_ids"] = ue_ids
        if known_revision != topology.revision:
            header["cells"] = [self._configuration(topology, cell_id) for cell_id in self._cells]
        return encode_frame(header, arrays)

    def _number_cells(self, topology: Topology) -> None:
        if self._revision != topology.revision:
            self._cell_of_index = {topology.get(cell).index: place for place, cell in enumerate(self._cells)}
            self._revision = topology.revision

    def _configuration(self, topology: Topology, cell_id: str) -> dict[str, Any]:
        attributes = topology.get(cell_id).attributes
        offset_deg = float(to_native("digitalAzimuth", attributes["digitalAzimuth"]))
        return {
            "azimuth_deg": (self._azimuth_deg[cell_id] + offset_deg) % 360.0,
            "locked": attributes["administrativeState"] == AdministrativeState.LOCKED.value,
        }

    def _serving(self, dense_index: NDArray[np.float32]) -> NDArray[np.int32]:
        indices = np.nan_to_num(dense_index, nan=-1.0).astype(np.int64).tolist()
        return np.array([self._cell_of_index.get(index, -1) for index in indices], dtype=np.int32)

    def _aligned(
        self, store: TelemetryStore, kind: Kind, kpi: str, ids: tuple[str, ...]
    ) -> tuple[float | None, NDArray[np.float32]]:
        """Return (sim_time_s, ``[len(ids)] float32``) of the newest sample in the order of `ids`, NaN where none."""
        try:
            measured_s, measured, values = store.latest(kind, kpi)
        except UnknownName:  # not measured yet: drawn as missing, not an error of the reader
            return None, np.full(len(ids), np.nan, dtype=np.float32)
        sim_time_s = _known(measured_s)
        if measured == ids:
            return sim_time_s, np.asarray(values, dtype=np.float32)
        place = {entity: number for number, entity in enumerate(measured)}
        aligned = np.full(len(ids), np.nan, dtype=np.float32)
        for number, entity in enumerate(ids):
            if entity in place:
                aligned[number] = values[place[entity]]
        return sim_time_s, aligned
