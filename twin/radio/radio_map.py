"""Baked radio maps: the path gain from each mast to a grid of places, worked out before by a ray tracer.

Where a map reaches it stands for path loss and shadowing of the statistics (:mod:`twin.radio.path_loss`). Reading one
takes numpy alone; `twin bake-radio-map` makes them (``twin_app/raytracing.py``).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.scenario import Scenario

VERSION = 1


def digest_of(scenario: Scenario) -> str:
    """Return the SHA-256 over what the rays meet: masts, buildings and the area; people and tilts may change."""
    carriers = sorted({(cell.site_id, cell.carrier_hz) for cell in scenario.cells})
    facts: list[Any] = [list(scenario.extent_m), carriers]
    facts += [[site.id, list(site.position_m), site.height_m] for site in scenario.sites]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for building in scenario.buildings:
        digest.update(np.asarray(building.footprint_m, dtype="<f4").tobytes())
        digest.update(np.float32(building.height_m).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RadioMap:
    """Path gain from masts to places 1.5 m above the ground, antennas not included.

    Attributes:
        digest: Of the city it was made for (:func:`digest_of`).
        west_m: East coordinate of the left edge.
        south_m: North coordinate of the lower edge.
        cell_m: Edge of a square.
        mast: (site id, carrier in hertz) of each layer.
        gain_db: ``[num_masts, rows, cols] float16``, row 0 in the south, NaN where the map does not
            speak for the mast.
    """

    digest: str
    west_m: float
    south_m: float
    cell_m: float
    mast: tuple[tuple[str, float], ...]
    gain_db: NDArray[np.float16]

    def save(self, path: Path) -> None:
        """Write the file."""
        with path.open("wb") as out:  # given a name, numpy may add an ending to it
            np.savez_compressed(
                out,
                version=VERSION,
                digest=self.digest,
                grid=np.array([self.west_m, self.south_m, self.cell_m]),
                site_id=np.array([site for site, _ in self.mast], dtype=np.str_),
                carrier_hz=np.array([carrier for _, carrier in self.mast], dtype=np.float64),
                gain_db=self.gain_db,
            )

    def layers(self, masts: Sequence[tuple[str, float]]) -> NDArray[np.int64]:
        """Return the layer of each (site id, carrier in hertz), -1 where there is none."""
        number = {mast: layer for layer, mast in enumerate(self.mast)}
        return np.array([number.get(mast, -1) for mast in masts], dtype=np.int64)

    def at(self, position_m: NDArray[np.float32], layers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the path gain at each place, interpolated between the squares that rays reached.

        Args:
            position_m: ``[num_points, 2]`` east, north.
            layers: ``[n]`` from :meth:`layers`.

        Returns:
            ``[num_points, n] float32``, NaN where the square of the place has no value, outside the grid, and for
            layer -1.
        """
        _, rows, cols = self.gain_db.shape
        place = (position_m - np.array([self.west_m, self.south_m], dtype=np.float32)) / np.float32(self.cell_m)
        inside = np.all((place >= 0.0) & (place < np.array([cols, rows])), axis=1)
        centred = place - np.float32(0.5)
        low = np.floor(centred)
        fraction = centred - low
        total = np.zeros((len(position_m), len(layers)), dtype=np.float32)
        weight = np.zeros_like(total)
        for right in (0, 1):
            for up in (0, 1):
                col = np.clip(low[:, 0] + right, 0, cols - 1).astype(np.int64)
                row = np.clip(low[:, 1] + up, 0, rows - 1).astype(np.int64)
                gain = self.gain_db[layers[None, :], row[:, None], col[:, None]].astype(np.float32)
                share = np.abs(1 - right - fraction[:, 0]) * np.abs(1 - up - fraction[:, 1])
                part = np.where(np.isnan(gain), np.float32(0.0), share[:, None])
                total += part * np.nan_to_num(gain)
                weight += part
        # A place belongs to the map when its own square does: the share of that corner is at least a quarter.
        own_col = np.clip(place[:, 0], 0, cols - 1).astype(np.int64)
        own_row = np.clip(place[:, 1], 0, rows - 1).astype(np.int64)
        known = ~np.isnan(self.gain_db[layers[None, :], own_row[:, None], own_col[:, None]])
        known &= inside[:, None] & (layers >= 0)[None, :]
        return np.where(known, total / np.maximum(weight, np.float32(1e-6)), np.float32(np.nan))


def load(path: Path, scenario: Scenario) -> RadioMap:
    """Return the radio map in a file.

    Raises:
        ScenarioError: The file is missing, no radio map, or made for other masts or buildings.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            version = int(content["version"])
            west_m, south_m, cell_m = (float(value) for value in content["grid"])
            found = RadioMap(
                digest=str(content["digest"]),
                west_m=west_m,
                south_m=south_m,
                cell_m=cell_m,
                mast=tuple(zip(content["site_id"].tolist(), content["carrier_hz"].tolist(), strict=True)),
                gain_db=content["gain_db"].astype(np.float16),
            )
    except FileNotFoundError as exc:
        raise ScenarioError(f"the radio map `{path}` does not exist; bake it with `twin bake-radio-map`") from exc
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise ScenarioError(f"`{path}` is no radio map; bake one with `twin bake-radio-map`") from exc
    if version != VERSION or found.gain_db.ndim != 3 or len(found.mast) != len(found.gain_db) or not cell_m > 0:
        raise ScenarioError(f"`{path}` is no radio map of version {VERSION}; bake it again with `twin bake-radio-map`")
    if found.digest != digest_of(scenario):
        raise ScenarioError(
            f"the radio map `{path}` was made for other masts or buildings; bake it again with `twin bake-radio-map`"
        )
    return found


def map_of(scenario: Scenario) -> RadioMap | None:
    """Return the radio map that a scenario names, None when it names none; errors as :func:`load`."""
    return load(Path(scenario.radio_map), scenario) if scenario.radio_map else None
