"""The form of a network's state: arrays in an npz container beside one JSON document, never pickled objects."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.attributes import ATTRIBUTES
from twin.commands import ManageFault
from twin.errors import CorruptStore, TwinError
from twin.fault_effects import effects_of
from twin.faults import checked, from_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from twin.faults import ActiveFault
    from twin.scenario import Scenario
    from twin.topology import Topology

FORMAT = "twin6g-network-2"
_DOCUMENT = "document"
_ATTRIBUTES = {row.name: row for row in ATTRIBUTES}
_TIMES = ("sim_time_s", "live_start_s", "clock_read_at_s")
_OTHER_VERSION = "it was made by another version, so begin from a fresh world"


def pack(document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a state as bytes; a checksum over everything stands in front."""
    text = json.dumps({"format": FORMAT, **document}).encode()
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_DOCUMENT: np.frombuffer(text, dtype=np.uint8)}, **arrays)
    body = buffer.getvalue()
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(state: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the document and the arrays of a state.

    Raises:
        CorruptStore: Not a state of this format, or damaged.
    """
    if len(state) < 4 or zlib.crc32(state[4:]).to_bytes(4, "big") != state[:4]:
        raise CorruptStore(
            f"the network state of `{len(state)}` bytes is damaged or cut off; ask the scene for a new one"
        )
    try:
        with np.load(io.BytesIO(state[4:]), allow_pickle=False) as container:
            arrays = {name: container[name] for name in container.files}
        document = json.loads(arrays.pop(_DOCUMENT).tobytes())
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as exc:
        raise CorruptStore("the network state is not a container of arrays; ask the scene for a new one") from exc
    written = document.get("format") if isinstance(document, dict) else None
    if written != FORMAT:
        raise CorruptStore(f"the network state has the format `{written}`; this twin reads `{FORMAT}`")
    return document, arrays


def check_world(document: Mapping[str, Any], scenario: Scenario, seed: int) -> None:
    """Raise :class:`~twin.errors.CorruptStore` for the state of another scenario or seed."""
    theirs = (document.get("scenario"), document.get("seed"))
    if theirs != (scenario.digest, seed):
        raise CorruptStore(
            f"the state belongs to scenario `{str(theirs[0])[:12]}` and seed `{theirs[1]}`, this"
            f" network to `{scenario.digest[:12]}` and `{seed}`; build the network it was taken from"
        )


def check_document(document: Mapping[str, Any], *, procedures: Iterable[str]) -> None:
    """Raise :class:`~twin.errors.CorruptStore` unless the document has everything, each of its sort.

    Args:
        document: Of a state, see :func:`unpack`.
        procedures: Whose set-ups are counted by the minute.
    """
    configured, minutes = document.get("configured"), document.get("minutes")
    sound = {
        **{name: _is_time(document.get(name)) for name in _TIMES},
        "generator": _fits_generator(document.get("generator")),
        "configured": isinstance(configured, dict) and all(_is_values(values) for values in configured.values()),
        "faults": isinstance(document.get("faults"), list),
        "minutes": isinstance(minutes, dict) and all(type(minutes.get(name)) is int for name in procedures),
        "guided": isinstance(document.get("guided"), bool),
    }
    wrong = [name for name, good in sound.items() if not good]
    if wrong:
        raise CorruptStore(f"the state lacks or misshapes `{', '.join(wrong)}`; {_OTHER_VERSION}")


def check_arrays(arrays: Mapping[str, NDArray[Any]], own: Mapping[str, NDArray[Any]]) -> None:
    """Raise :class:`~twin.errors.CorruptStore` unless each of a network's own arrays is there in its shape and type."""
    wrong = [
        name
        for name, array in own.items()
        if name not in arrays or (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype)
    ]
    if wrong:
        raise CorruptStore(f"the state lacks or reshapes `{', '.join(wrong)}`; {_OTHER_VERSION}")


def faults_of(document: Mapping[str, Any], *, scenario: Scenario, topology: Topology) -> tuple[ActiveFault, ...]:
    """Return the active faults of a document.

    Raises:
        CorruptStore: One is misshapen, of no catalogue row, or befalls or changed what is not there.
    """
    found: list[ActiveFault] = []
    for row in document["faults"]:
        try:
            one = from_document(row)
            order = ManageFault(operation="inject", fault=one.fault, entity_id=one.entity_id, severity=one.severity)
            checked(order, kind=topology.get(one.entity_id).kind)
            for written in one.written:
                if written.attribute not in topology.get(written.entity_id).attributes:
                    raise CorruptStore(f"`{written.entity_id}` has no attribute `{written.attribute}`")
            effects_of((one,), scenario)
        except (TwinError, TypeError, ValueError, KeyError, IndexError, AttributeError) as exc:
            raise CorruptStore(f"the state has the fault `{str(row)[:120]}`, which cannot act: {exc}") from exc
        found.append(one)
    return tuple(found)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_values(values: object) -> bool:
    return isinstance(values, dict) and all(_fits(name, value) for name, value in values.items())


def _fits(name: str, value: object) -> bool:
    """Return whether a value is of the sort of its attribute; one that this version does not know is passed over."""
    row = _ATTRIBUTES.get(name)
    return row is None or (value in row.choices if row.choices else _is_time(value))


def _fits_generator(state: Any) -> bool:
    try:
        np.random.default_rng(0).bit_generator.state = state
    except (TypeError, ValueError, KeyError, OverflowError):
        return False
    return True
