"""Transport links: what the sites carry flows over them, and no site carries more than its way to the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.scenario import Scenario


class Backhaul:
    """The way of each site to the user-plane function.

    Args:
        scenario: Its links run from `a_id` (farther from the core) to `b_id`.

    Attributes:
        carries: ``[num_links, num_cells] float32``, 1 where a link lies on the way of a cell's site.
        capacity_bps: ``[num_links] float64``.
    """

    def __init__(self, scenario: Scenario) -> None:
        uplink: dict[str, int] = {}
        for number, link in enumerate(scenario.links):
            uplink.setdefault(link.a_id, number)
        self.capacity_bps = np.array([link.capacity_bps for link in scenario.links], dtype=np.float64)
        self.carries = np.zeros((len(scenario.links), len(scenario.cells)), dtype=np.float32)
        for column, cell in enumerate(scenario.cells):
            place, seen = cell.site_id, set[str]()
            while place in uplink and place not in seen:
                seen.add(place)
                self.carries[uplink[place], column] = 1.0
                place = scenario.links[uplink[place]].b_id

    def load(self, cell_bps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return offered traffic over capacity of each link, ``[num_times, num_links]``.

        Args:
            cell_bps: ``[num_times, num_cells]`` what the radio could deliver.
        """
        return (cell_bps @ self.carries.T) / np.maximum(self.capacity_bps, 1.0)

    def passed_share(self, link_load: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of each cell's traffic that passes its narrowest link, ``[num_times, num_cells]``."""
        if not len(self.capacity_bps):
            return np.ones((len(link_load), self.carries.shape[1]))
        worst = np.max(link_load[:, :, None] * self.carries[None], axis=1)
        return 1.0 / np.maximum(worst, 1.0)
