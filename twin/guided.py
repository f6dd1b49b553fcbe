"""Where UEs are when somebody else moves them: an engine that shows the city tells, nothing is made up in between.

Whoever is moved is indoors when the place lies inside a building and outdoors on the street; what stands between an
indoor UE and the street is drawn once per UE, so that it hears the same world whenever it comes home.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.radio.propagation import Points, indoor_points
from twin.world import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import Building
    from twin.scenario import Scenario
    from twin.world import World

_WALLS = 11
"""Stream of chance of the walls around UEs whom the scenario knows outdoors only."""
FARTHEST_M = 100_000.0
"""A place further than this from the origin is brought back to it: nothing is heard that far, and ``float32`` still
tells one metre from the next."""
GRID_M = 2.0
"""Footprints are looked up on a grid this fine: half a wall, less than a UE's paths care for."""
MOST_CELLS = 16_000_000
"""A city so large that its grid would have more squares gets coarser ones."""


class GuidedPlaces:
    """The places of UEs that are told from outside.

    Args:
        scenario: Gives the buildings.
        world: Gives homes and walls.

    Attributes:
        place_m: ``[num_ues, 2] float32`` east, north; home until somebody says otherwise.
        moved: ``[num_ues] bool``, told to stand elsewhere than at home.
    """

    def __init__(self, scenario: Scenario, world: World) -> None:
        ues = world.num_ues
        self.place_m = world.tours.home_m.copy()
        self.moved = np.zeros(ues, dtype=bool)
        self._home_m = world.tours.home_m
        self._home = world.points.take(np.arange(ues))
        walls = indoor_points(self.place_m, np.ones(ues, dtype=bool), rng=stream(scenario, world.seed, _WALLS))
        inside = self._home.indoor
        self._coated = np.where(inside, self._home.coated, walls.coated)
        self._depth_loss_db = np.where(inside, self._home.depth_loss_db, walls.depth_loss_db)
        self._footprints = Footprints(scenario.buildings, scenario.extent_m)

    def put(self, rows: NDArray[np.int64], place_m: NDArray[np.float32]) -> None:
        """Move UEs; the last place of a row that is named twice counts.

        Args:
            rows: ``[n] int64`` rows of UEs.
            place_m: ``[n, 2] float32`` east, north, all finite.
        """
        self.place_m[rows] = np.clip(place_m, -FARTHEST_M, FARTHEST_M)
        self.moved[rows] |= (self.place_m[rows] != self._home_m[rows]).any(axis=1)

    def points(self, rows: NDArray[np.int64]) -> Points:
        """Return how these UEs hear at the places where they are now."""
        place_m = self.place_m[rows]
        # A home on a wall may lie a hair outside of its footprint: who never left it is indoors as the scenario says.
        indoor = np.where(self.moved[rows], self._footprints.contain(place_m), self._home.indoor[rows])
        return Points(
            position_m=place_m,
            indoor=indoor,
            coated=self._coated[rows] & indoor,
            depth_loss_db=np.where(indoor, self._depth_loss_db[rows], np.float32(0.0)).astype(np.float32),
        )


class Footprints:
    """Which places are inside a building, looked up on a grid.

    Args:
        buildings: Whose footprints.
        extent_m: West, south, east, north of the area that the grid covers; outside of it nothing is indoors.
    """

    def __init__(self, buildings: tuple[Building, ...], extent_m: tuple[float, float, float, float]) -> None:
        west, south, east, north = extent_m
        area_m2 = max(east - west, 1.0) * max(north - south, 1.0)
        self._step_m = max(GRID_M, float(np.sqrt(area_m2 / MOST_CELLS)))
        self._corner_m = np.array([west, south], dtype=np.float32)
        columns = int(np.ceil(max(east - west, 1.0) / self._step_m))
        rows = int(np.ceil(max(north - south, 1.0) / self._step_m))
        self._inside = np.zeros((rows, columns), dtype=bool)
        for building in buildings:
            self._draw((building.footprint_m - self._corner_m) / np.float32(self._step_m))

    def _draw(self, ring: NDArray[np.float32]) -> None:
        """Mark the squares whose middle is inside a ring (even-odd rule)."""
        rows, columns = self._inside.shape
        low = np.maximum(np.floor(ring.min(axis=0)).astype(np.int64), 0)
        high = np.minimum(np.ceil(ring.max(axis=0)).astype(np.int64), (columns, rows))
        if (high <= low).any():
            return
        x = np.arange(low[0], high[0], dtype=np.float64) + 0.5
        y = np.arange(low[1], high[1], dtype=np.float64) + 0.5
        inside = np.zeros((len(y), len(x)), dtype=bool)
        for (x0, y0), (x1, y1) in zip(
            ring.astype(np.float64), np.roll(ring, -1, axis=0).astype(np.float64), strict=True
        ):
            if y0 == y1:
                continue
            crossed = (y >= min(y0, y1)) & (y < max(y0, y1))
            at = x0 + (y[crossed] - y0) * ((x1 - x0) / (y1 - y0))
            inside[crossed] ^= x[None, :] < at[:, None]
        self._inside[low[1] : high[1], low[0] : high[0]] |= inside

    def contain(self, place_m: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return for each place ``[n, 2]`` whether it is inside a building, ``[n] bool``."""
        at = np.floor((place_m - self._corner_m) / np.float32(self._step_m)).astype(np.int64)
        rows, columns = self._inside.shape
        known = (at >= 0).all(axis=1) & (at[:, 0] < columns) & (at[:, 1] < rows)
        return known & self._inside[np.where(known, at[:, 1], 0), np.where(known, at[:, 0], 0)]
