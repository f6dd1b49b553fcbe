"""The air of a live network: what is radiated, what everybody hears of it, and what disturbs.

Carries configuration and faults over to the radio model; who uses the radio, and how, is :mod:`twin.network`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.attributes import to_native
from twin.moments import Carriers, idle_activity
from twin.neighbours import namesakes, shared_identity_mw
from twin.radio.coverage import SinrMap, sinr_map
from twin.radio.field import RadioField
from twin.radio.landscape import sectors_of
from twin.sixg.sensing import with_sensing
from twin.sixg.ways import Surfaces, contributors_of
from twin.topology import stated_arfcn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.configuration import Configuration
    from twin.fault_effects import Effects
    from twin.kernels import Kernel
    from twin.radio.landscape import Points
    from twin.world import World


class Air:
    """Sectors, carriers and the field that they make.

    Attributes:
        sectors: What each cell radiates, live.
        carriers: What each cell's carrier offers, live.
        field: What every user hears of every cell; there once :meth:`open` was called.
        max_output_w: ``[num_cells] float32`` radiated power at full load.
        sensing_duty: ``[num_cells] float64`` share of time that a cell looks for echoes.
    """

    field: RadioField

    def __init__(self, world: World, kernel: Kernel) -> None:
        self._world, self._kernel = world, kernel
        cells = world.scenario.cells
        self.sectors = sectors_of(cells)
        self._azimuth_deg = np.array([cell.azimuth_deg for cell in cells])
        self._planned_hz = np.array([cell.carrier_hz for cell in cells])
        self._stated_hz = 1e6 * np.array([float(to_native("arfcnDL", stated_arfcn(cell))) for cell in cells])
        self._shared_revision = -1

    def open(self, points: Points) -> None:
        """Let users hear for the first time; the sectors have been tuned."""
        world = self._world
        self._contributors = contributors_of(world.scenario, world.landscape, self.sectors, seed=world.seed)
        self.field = RadioField(
            world.landscape, self.sectors, points, kernel=self._kernel, contributors=self._contributors
        )

    def use(self, kernel: Kernel) -> None:
        """Let another kernel do the arithmetic from now on."""
        self._kernel = kernel
        self.field.use(kernel)

    def tune(self, configuration: Configuration, effects: Effects, *, on_air: NDArray[np.bool_]) -> None:
        """Carry configuration and faults over to what is radiated; :meth:`hear` makes it heard."""
        sectors = self.sectors
        sectors.tilt_deg[:] = configuration.numbers("digitalTilt")
        sectors.shape[:] = configuration.numbers("coverageShape")
        # Channel numbers end at 100 GHz: the scenario's own carrier stands where nobody ordered another.
        told_hz = 1e6 * configuration.numbers("arfcnDL")
        sectors.carrier_hz[:] = np.where(told_hz == self._stated_hz, self._planned_hz, told_hz)
        sectors.bandwidth_hz[:] = 1e6 * configuration.numbers("bSChannelBwDL")
        sectors.boresight_deg[:] = self._azimuth_deg + configuration.numbers("digitalAzimuth")
        sectors.power_dbm[:] = configuration.numbers("configuredMaxTxPower") - effects.power_loss_db
        sectors.on_air[:] = on_air
        self.max_output_w = np.where(on_air, 10.0 ** (sectors.power_dbm / 10.0 - 3.0), 0.0).astype(np.float32)
        duty, period = "vsData6gIsac.sensingDutyCycle", "ssbPeriodicity"
        revision = configuration.revision_of("bSChannelBwDL", "arfcnDL", duty, period)
        if revision != self._shared_revision:
            self._shared_revision = revision
            self.sensing_duty = configuration.numbers(duty) / 100.0
            self.carriers = Carriers(
                bandwidth_hz=1e6 * configuration.numbers("bSChannelBwDL"),
                idle=with_sensing(idle_activity(configuration.numbers(period)), self.sensing_duty),
                beam_gain_db=sectors.beam_gain_db,
                carrier_hz=sectors.carrier_hz.copy(),
            )
        self._namesakes = namesakes(configuration.numbers("nRPCI").astype(np.int64), sectors.carrier_number)
        self._noise = effects.noise
        discs = [(one.east_m, one.north_m, one.radius_m, one.amount) for one in effects.obstacles]
        self._discs = np.array(discs, dtype=np.float32).reshape(-1, 4)

    def hear(self, configuration: Configuration) -> None:
        """Let users hear what has been tuned; only what changed is computed."""
        self.field.set_obstacles(self._discs)
        self.field.retune()
        profiles = configuration.numbers("vsData6gRis.phaseProfileIndex")
        turned = [one.tune(profiles) for one in self._contributors if isinstance(one, Surfaces)]
        if any(turned):
            self.field.recompute()

    def quality_db(
        self, rows: NDArray[np.int64], cells: NDArray[np.int64], load: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the SINR that users would have at cells, ``[n] float32``.

        Args:
            rows: ``[n] int64`` users.
            cells: ``[n] int64`` the cell of each.
            load: ``[num_cells] float32`` share of PRBs that each cell uses.
        """
        return self._sinr_db(self.field.received_mw[rows], self.field.points.position_m[rows], cells, load=load)

    def _sinr_db(
        self,
        heard: NDArray[np.float32],
        position_m: NDArray[np.float32],
        cells: NDArray[np.int64],
        *,
        load: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return the SINR of users at cells, ``[n] float32``, from what they hear ``[n, num_cells]`` and where."""
        idle = self.carriers.idle
        activity = idle + (1.0 - idle) * load
        carrier = self.sectors.carrier_number
        total = (heard * (carrier[cells][:, None] == carrier)) @ activity
        signal = heard[np.arange(len(cells)), cells]
        beam_gain = self.carriers.beam_gain
        aimed = signal if beam_gain is None else signal * beam_gain[cells]
        noise = self.carriers.noise_mw[cells] + shared_identity_mw(heard, cells, self._namesakes)
        if self._noise:
            noise += self._interference_mw(position_m, cells)
        disturbance = np.maximum(total - activity[cells] * signal, 0.0) + noise
        return (10.0 * np.log10(np.maximum(aimed, 1e-20) / disturbance)).astype(np.float32)

    def external_mw(self, serving: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return what neither load nor thermal noise explains, ``[num_users] float32``; None = nothing."""
        external_mw = None
        if self._namesakes:
            external_mw = shared_identity_mw(self.field.received_mw, serving, self._namesakes)
        if self._noise:
            interference_mw = self._interference_mw(self.field.points.position_m, np.maximum(serving, 0))
            external_mw = interference_mw if external_mw is None else external_mw + interference_mw
        return external_mw

    def sinr_map(self, load: NDArray[np.float32], *, resolution_m: float) -> SinrMap:
        """Return SINR, strongest cell and RSRP at street level over the whole area."""
        return sinr_map(
            self._world,
            self.sectors,
            partial(self._sinr_db, load=load),
            resolution_m=resolution_m,
            kernel=self._kernel,
            discs=self._discs,
            contributors=self._contributors,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state, which :meth:`RadioField.recompute` completes."""
        return self.field.arrays()

    def _interference_mw(self, position_m: NDArray[np.float32], cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what interferers from outside add to the noise of users on the carriers of cells, ``[n] float32``."""
        carrier_hz, width_hz = self.sectors.carrier_hz[cells], self.sectors.bandwidth_hz[cells]
        rise = np.zeros(len(cells), dtype=np.float32)
        for disc in self._noise:
            struck = disc.holds(position_m) & (np.abs(carrier_hz - disc.carrier_hz) < width_hz / 2)
            rise[struck] += np.float32(10.0 ** (disc.amount / 10.0) - 1.0)
        return (rise * self.carriers.noise_mw[cells]).astype(np.float32)
