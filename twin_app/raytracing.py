"""`twin bake-radio-map`: traces rays through a city once and keeps the path gains in a file.

Needs the extra ``raytracing`` (Sionna RT) and an LLVM library that its compiler can use. Both are looked at before
the tracer starts, and it runs in a process of its own: an LLVM that is too old ends its process without a word.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import math
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from twin.errors import InvalidInput, MissingExtra, OutOfRange, TwinError
from twin.radio.radio_map import RadioMap, digest_of
from twin_app.city_mesh import buildings_mesh, covers, ground_mesh, write_ply

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from twin.entities import Building, Environment, Site
    from twin.scenario import Scenario

MIN_LLVM = 16
"""Dr.Jit's code ends LLVM 15 with "Cannot select"; 19 is tried and good."""
USER_HEIGHT_M = 1.5
ABOVE_ROOF_M = 2.0
"""An antenna that stands on a house without a mast of its own is at least this far above the roof."""
DARK_DB = -200.0
"""Within reach of a mast, where none of its rays arrives."""
MIN_HITS = 8
"""A map reaches as far from a mast as an open square of street is hit by this many of its rays; farther out the few
that hit by chance say nothing."""
MAX_PIXELS = 16_000_000
_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
_ASK_VERSION = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
numbers = [ctypes.c_uint() for _ in range(3)]
library.LLVMGetVersion(*map(ctypes.byref, numbers))
print(numbers[0].value)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a bake costs.

    Attributes:
        cell_m: Edge of a square of the map.
        rays: Sent from each mast.
        bounces: How often a ray may be reflected or bent.
    """

    cell_m: float = 10.0
    rays: int = 10_000_000
    bounces: int = 3


def bake(
    scenario: Scenario, *, quality: Quality, progress: Callable[[int, int], None] | None = None
) -> tuple[RadioMap, float]:
    """Return the radio map of a city, and the share of its squares out of doors where it speaks for a mast.

    Args:
        scenario: Its buildings become concrete, its ground flat and medium dry.
        quality: Resolution and effort.
        progress: Called with the masts done and their number.

    Raises:
        MissingExtra: Sionna RT is not installed, or LLVM is missing or too old.
        OutOfRange: The map would have too many squares.
        TwinError: The tracer failed.
    """
    llvm = check_machine()
    west, south, east, north = scenario.extent_m
    if not quality.cell_m > 0 or (east - west) * (north - south) / quality.cell_m**2 > MAX_PIXELS:
        raise OutOfRange(
            f"squares of `{quality.cell_m:g} m` do not give 1 to {MAX_PIXELS:,} of them; choose another resolution"
        )
    indoors = _indoors(scenario, quality.cell_m)
    gains = trace_masts(scenario, quality=quality, llvm=llvm, progress=progress)
    within = _within_reach(scenario, quality)
    gains[np.isnan(gains) & within] = DARK_DB  # the statistics would put in more than the rays bring
    gains[~within] = np.nan
    gains[:, indoors] = np.nan  # the building entry loss of the statistics stays in charge there
    found = RadioMap(
        digest=digest_of(scenario),
        west_m=west,
        south_m=south,
        cell_m=quality.cell_m,
        mast=tuple((site, carrier_hz) for site, carrier_hz, _ in _masts(scenario)),
        gain_db=gains,
    )
    return found, float(np.any(within, axis=0)[~indoors].mean())


def trace_masts(
    scenario: Scenario, *, quality: Quality, llvm: Path, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float16]:
    """Return the path gain from each mast to each square, ``[num_masts, rows, cols]``, NaN where no ray arrived.

    Raises:
        TwinError: The tracer failed, or its process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_scene(scenario, Path(folder))
        return _in_child(Path(folder), scenario.extent_m, _masts(scenario), quality, llvm, progress)


def check_machine() -> Path:
    """Return the LLVM library to use.

    Raises:
        MissingExtra: Something is missing; the message says how to get it.
    """
    if sionna_missing():
        raise MissingExtra(
            "ray tracing needs Sionna RT, which is not installed: `pip install 'twin6g[raytracing]'` (0.7 GB)"
        )
    return find_llvm()


def sionna_missing() -> bool:
    """Return whether the extra is not installed."""
    return importlib.util.find_spec("sionna") is None or importlib.util.find_spec("sionna.rt") is None


def find_llvm() -> Path:
    """Return the newest LLVM library, or the one that DRJIT_LIBLLVM_PATH names.

    Raises:
        MissingExtra: It is older than 16, cannot be loaded, or there is none.
    """
    named = os.environ.get("DRJIT_LIBLLVM_PATH")
    candidates = [Path(named)] if named else _libraries()
    versions = {path: llvm_version(path) for path in candidates}
    good = {path: version for path, version in versions.items() if version >= MIN_LLVM}
    if good:
        return max(good, key=lambda path: good[path])
    way_out = (
        "on Debian: `apt install libllvm19`, or without root `apt download libllvm19 && dpkg -x libllvm19_*.deb DIR`,"
        " then set DRJIT_LIBLLVM_PATH to its libLLVM.so.19.1"
    )
    if not versions:
        raise MissingExtra(f"ray tracing needs libLLVM {MIN_LLVM} or newer, and none was found; {way_out}")
    worst = f"`{next(reversed(versions))}`"
    raise MissingExtra(
        f"ray tracing needs libLLVM {MIN_LLVM} or newer (the code generator of older ones crashes), and the one here,"
        f" {worst}, is older or cannot be loaded; {way_out}"
    )


def _libraries() -> list[Path]:
    found = [path for folder in _FOLDERS for path in Path(folder).glob("libLLVM*.so*")]
    named = ctypes.util.find_library("LLVM")
    return sorted({path.resolve() for path in found} | ({Path(named)} if named else set()))


def llvm_version(library: Path) -> int:
    """Return the major version of an LLVM library, 0 when it cannot be loaded or is too old to say (before 16)."""
    try:
        answer = subprocess.run(  # noqa: S603  # a process of its own: loading a broken library may end it
            [sys.executable, "-c", _ASK_VERSION, str(library)], capture_output=True, timeout=60, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return 0
    return int(answer.stdout) if answer.returncode == 0 and answer.stdout.strip().isdigit() else 0


def _masts(scenario: Scenario) -> list[tuple[str, float, tuple[float, float, float]]]:
    """Return (site id, carrier, antenna) of each set of co-located cells that a map can stand for."""
    sites = {site.id: site for site in scenario.sites}
    mapped: set[Environment] = {"UMa", "UMi", "RMa"}
    pairs = sorted({(cell.site_id, cell.carrier_hz) for cell in scenario.cells if cell.environment in mapped})
    return [(site, carrier, _antenna_m(sites[site], scenario.buildings)) for site, carrier in pairs]


def _antenna_m(site: Site, buildings: tuple[Building, ...]) -> tuple[float, float, float]:
    east, north, up = site.position_m
    roofs = [house.height_m for house in buildings if covers(house, np.array(east), np.array(north)).any()]
    return east, north, max([up + site.height_m, *(roof + ABOVE_ROOF_M for roof in roofs)])


def _within_reach(scenario: Scenario, quality: Quality) -> NDArray[np.bool_]:
    """Return the squares that each mast can speak for, ``[num_masts, rows, cols]``."""
    x, y = _middles(scenario, quality.cell_m)
    within: list[NDArray[np.bool_]] = []
    for _, _, (east, north, up) in _masts(scenario):
        rise = up - USER_HEIGHT_M
        apart = np.sqrt((x - east) ** 2 + (y - north) ** 2 + rise**2)
        # A square fills cell^2 (rise / apart) / apart^2 of the 4 pi that the rays are spread over.
        hits = quality.rays * quality.cell_m**2 * rise / (4.0 * np.pi * apart**3)
        within.append(hits >= MIN_HITS)
    return np.stack(within)


def _middles(scenario: Scenario, cell_m: float) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    west, south, east, north = scenario.extent_m
    cols, rows = (math.ceil(length / cell_m) for length in (east - west, north - south))
    x, y = np.meshgrid(west + (np.arange(cols) + 0.5) * cell_m, south + (np.arange(rows) + 0.5) * cell_m)
    return x, y


def _indoors(scenario: Scenario, cell_m: float) -> NDArray[np.bool_]:
    """Return which squares have their middle in a building, ``[rows, cols]``."""
    west, south = scenario.extent_m[:2]
    x, y = _middles(scenario, cell_m)
    inside = np.zeros(x.shape, dtype=bool)
    for building in scenario.buildings:
        low, high = building.footprint_m.min(axis=0), building.footprint_m.max(axis=0)
        col, row = ((np.array([low[axis], high[axis]]) - corner) / cell_m for axis, corner in enumerate((west, south)))
        part = np.s_[max(int(row[0]), 0) : max(int(row[1]) + 1, 0), max(int(col[0]), 0) : max(int(col[1]) + 1, 0)]
        inside[part] |= covers(building, x[part], y[part])
    return inside


def _write_scene(scenario: Scenario, folder: Path) -> None:
    shapes = ""
    houses = buildings_mesh(scenario.buildings)
    for name, mesh, material in (
        ("buildings", houses, "concrete"),
        ("ground", ground_mesh(scenario.extent_m), "medium_dry_ground"),
    ):
        if not len(mesh[1]):
            continue
        write_ply(folder / f"{name}.ply", mesh)
        shapes += (
            f'<bsdf type="itu-radio-material" id="{material}"><string name="type" value="{material}"/>'
            f'<float name="thickness" value="0.3"/></bsdf>'
            f'<shape type="ply" id="mesh-{name}"><string name="filename" value="{name}.ply"/>'
            f'<boolean name="face_normals" value="true"/><ref id="{material}" name="bsdf"/></shape>'
        )
    (folder / "city.xml").write_text(f'<scene version="2.1.0">{shapes}</scene>', encoding="utf-8")


def _in_child(
    folder: Path,
    extent_m: tuple[float, float, float, float],
    masts: list[tuple[str, float, tuple[float, float, float]]],
    quality: Quality,
    llvm: Path,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float16]:
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe(duplex=False)
    jobs = [(carrier_hz, antenna_m) for _, carrier_hz, antenna_m in masts]
    child = context.Process(target=_trace, args=(folder, extent_m, jobs, quality, str(llvm), far), daemon=True)
    child.start()
    far.close()
    gains: list[Any] = []
    try:
        while len(gains) < len(jobs):
            part = near.recv()
            if isinstance(part, str):
                raise TwinError(f"the ray tracer failed: {part}")
            gains.append(part)
            if progress is not None:
                progress(len(gains), len(jobs))
    except EOFError:
        child.join(10)
        raise TwinError(
            f"the ray tracer ended with code `{child.exitcode}` after {len(gains)} of {len(jobs)} masts; its library"
            f" was `{llvm}`: try another one in DRJIT_LIBLLVM_PATH, or fewer --rays if memory was short"
        ) from None
    finally:
        near.close()
        child.terminate()
        child.join(10)
    return np.stack(gains)


def _trace(
    folder: Path,
    extent_m: tuple[float, float, float, float],
    jobs: list[tuple[float, tuple[float, float, float]]],
    quality: Quality,
    llvm: str,
    pipe: Connection,
) -> None:
    """Trace in the child; sends one ``[rows, cols] float16`` for each job, or a sentence."""
    os.environ["DRJIT_LIBLLVM_PATH"] = llvm
    try:
        from sionna import rt  # pyright: ignore[reportMissingImports]

        west, south, east, north = extent_m
        # Whole squares from the corner in the south-west on; the last ones may reach beyond the area.
        width = math.ceil((east - west) / quality.cell_m) * quality.cell_m
        height = math.ceil((north - south) / quality.cell_m) * quality.cell_m
        scene: Any = rt.load_scene(str(folder / "city.xml"), merge_shapes=False)
        isotropic: dict[str, Any] = {"num_rows": 1, "num_cols": 1, "pattern": "iso", "polarization": "V"}
        scene.tx_array = rt.PlanarArray(**isotropic)
        scene.rx_array = rt.PlanarArray(**isotropic)
        for carrier_hz, antenna_m in jobs:
            scene.frequency = carrier_hz
            scene.add(rt.Transmitter("mast", position=list(antenna_m)))
            traced = rt.RadioMapSolver()(
                scene,
                center=[west + width / 2, south + height / 2, USER_HEIGHT_M],
                orientation=[0.0, 0.0, 0.0],
                size=[width, height],
                cell_size=[quality.cell_m, quality.cell_m],
                samples_per_tx=quality.rays,
                max_depth=quality.bounces,
                diffraction=True,
            )
            gain = np.array(traced.path_gain, dtype=np.float64)[0]
            scene.remove("mast")
            pipe.send(np.where(gain > 0.0, 10.0 * np.log10(np.maximum(gain, 1e-30)), np.nan).astype(np.float16))
    except Exception as error:  # noqa: BLE001  it is told to the parent, which raises it
        pipe.send(re.sub(r"\s+", " ", f"{type(error).__name__}: {error}"))
    finally:
        pipe.close()


def bake_to_file(scenario: Scenario, path: Path, *, quality: Quality) -> dict[str, Any]:
    """Bake a city's radio map into a file; progress goes to standard error, figures come back.

    Raises:
        InvalidInput: The folder of the file does not exist.
    """
    if not path.parent.is_dir():
        raise InvalidInput(f"the folder of `{path}` does not exist; make it first")
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("tracing rays", total=None)
        found, share = bake(
            scenario, quality=quality, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    found.save(path)
    return {
        "file": str(path),
        "masts": len(found.mast),
        "squares": int(np.prod(found.gain_db.shape[1:])),
        "covered_outdoors": round(share, 3),
        "bytes": path.stat().st_size,
    }
