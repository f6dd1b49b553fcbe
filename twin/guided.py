"""Where UEs are when somebody else moves them: an engine that shows the city tells, nothing is made up in between.

Whoever is moved is indoors when the place lies inside a building and outdoors on the street; what stands between an
indoor UE and the street, and how far up in a building it goes, is drawn once per UE, so that it hears the same world
whenever it comes home.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.radio.blockage import footprints_of
from twin.radio.landscape import Points, height_on_floor_m, indoor_points
from twin.radio.tables import STOREY_M, USER_HEIGHT_M
from twin.world import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.scenario import Scenario
    from twin.world import World

_WALLS = 11
"""Stream of chance of the walls around UEs whom the scenario knows outdoors only."""
FARTHEST_M = 100_000.0
"""A place further than this from the origin is brought back to it: nothing is heard that far, and ``float32`` still
tells one metre from the next."""


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
        rng = stream(scenario, world.seed, _WALLS)
        walls = indoor_points(self.place_m, np.ones(ues, dtype=bool), rng=rng)
        inside = self._home.indoor
        self._coated = np.where(inside, self._home.coated, walls.coated)
        self._depth_loss_db = np.where(inside, self._home.depth_loss_db, walls.depth_loss_db)
        self._footprints = footprints_of(scenario.buildings, scenario.extent_m)
        # At home the share of a building's height that a UE goes up leads to its own floor.
        floor = (self._home.height_m - USER_HEIGHT_M) / STOREY_M + 0.5
        share = floor / np.maximum(self._footprints.storeys(self._home_m), 1)
        self._up = np.where(inside & (share < 1.0), share, rng.random(ues))

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
        up_m = height_on_floor_m(np.maximum(self._footprints.storeys(place_m), 1), self._up[rows])
        up_m = np.where(self.moved[rows], up_m, self._home.height_m[rows])
        return Points(
            position_m=place_m,
            height_m=np.where(indoor, up_m, np.float32(USER_HEIGHT_M)).astype(np.float32),
            indoor=indoor,
            coated=self._coated[rows] & indoor,
            depth_loss_db=np.where(indoor, self._depth_loss_db[rows], np.float32(0.0)).astype(np.float32),
        )
