"""The SINR raster for the page: computed off the event loop, once per configuration and quarter of an hour."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twin.network import Network

if TYPE_CHECKING:
    from twin.network import SinrMap
    from twin.scenario import Scenario
    from twin.topology import Topology
    from twin_app.inventory import LiveInventory
    from twin_app.store.embedded import EmbeddedTelemetryStore

RESOLUTION_M = 20.0
REFRESH_S = 900.0
"""Load follows the hour, so the picture is drawn anew this often in simulated time."""

WARM_UP_STEPS = 3


class SinrRasters:
    """Implements the page's `MapSource` with one worker thread; the live network runs in the scene, not here."""

    def __init__(self, *, inventory: LiveInventory, store: EmbeddedTelemetryStore) -> None:
        self._inventory = inventory
        self._store = store
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="sinr")
        self._lock = asyncio.Lock()
        self._made: _Made | None = None

    @property
    def scenario(self) -> Scenario:
        """The city and its network before time starts."""
        return self._inventory.scenario

    @property
    def inventory(self) -> LiveInventory:
        """What exists now, and what time it is."""
        return self._inventory

    @property
    def store(self) -> EmbeddedTelemetryStore:
        """The newest figures."""
        return self._store

    async def sinr(self) -> SinrMap:
        """Return the raster of the current configuration."""
        async with self._lock:
            topology, slot = self._inventory.topology, int(self._inventory.now_s // REFRESH_S)
            if self._made is None or (self._made.revision, self._made.slot) != (topology.revision, slot):
                loop = asyncio.get_running_loop()
                raster = await loop.run_in_executor(self._worker, self._compute, topology, self._inventory.now_s)
                self._made = _Made(revision=topology.revision, slot=slot, raster=raster)
            return self._made.raster

    def close(self) -> None:
        """End the worker."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _compute(self, topology: Topology, sim_time_s: float) -> SinrMap:
        scenario = self._inventory.scenario
        network = Network(scenario, topology, self._inventory.civil, seed=scenario.seed, sim_time_s=sim_time_s)
        for _ in range(WARM_UP_STEPS):
            network.step(1.0)
        return network.sinr_map(resolution_m=RESOLUTION_M)


@dataclass(frozen=True, slots=True)
class _Made:
    revision: int
    slot: int
    raster: SinrMap
