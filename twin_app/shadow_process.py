"""`python -m twin_app.shadow_process`: a child that runs arms of what-ifs for :mod:`twin_app.shadow_pool`.

Messages are length-prefixed pickles over standard input and output; both ends are the same program, and the state of
a scene travels in them as plain bytes. The child ends when standard input closes, so also when its parent is killed.
It keeps the last network, so that the next arm of the same city begins at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, cast

from twin import kernels
from twin.errors import Cancelled, ShadowUnavailable, TwinError
from twin.network import Network
from twin.topology import topology_of
from twin.what_if import run_arm, seed_of
from twin_app.compiled_kernel import folder
from twin_app.shadow_messages import CallOff, City, Job, RunArm, frame_of, read_frame

if TYPE_CHECKING:
    from twin.kernels import Kernel, Name

NICENESS = 10
PROGRESS_S = 0.2
"""Wall seconds between two reports of progress."""
WARM_UP_STEPS = 50
"""Ticks after which a network that began from nothing carries a load."""


class Child:
    """One process that runs arms, one after the other."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._orders: queue.Queue[City | Job | RunArm] = queue.Queue()
        self._called_off = ""
        self._city: City | None = None
        self._job: Job | None = None
        self._network: tuple[tuple[str, int, str], Network] | None = None
        self._estimated: tuple[str, bytes] | None = None

    def listen(self, stream: BinaryIO) -> None:
        """Read what the parent says until it is gone; runs in a thread of its own."""
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            while (message := read_frame(stream)) is not None:
                if isinstance(message, CallOff):
                    self._called_off = message.job_id
                else:
                    self._orders.put(message)
        os._exit(0)  # whatever the other thread computes, nobody waits for it

    def work(self) -> None:
        """Do what was read, for ever."""
        while True:
            order = self._orders.get()
            if isinstance(order, City):
                self._city = order
            elif isinstance(order, Job):
                self._job = order
            else:
                self._say(self._answer(order))

    def _say(self, message: object) -> None:
        self._output.write(frame_of(message))
        self._output.flush()

    def _answer(self, order: RunArm) -> object:
        try:
            return self._run(order)
        except TwinError as error:
            return error
        except MemoryError:
            self._network = None
            return ShadowUnavailable("the shadow twin needs more memory than TWIN_SHADOW__MEMORY_MB allows")
        except Exception as error:  # noqa: BLE001 - the parent has to hear of it, whatever it is
            return ShadowUnavailable(f"the shadow twin failed: {type(error).__name__}: {error}")

    def _run(self, order: RunArm) -> object:
        city, job = self._city, self._job
        if city is None or job is None or (job.id, city.digest) != (order.job_id, job.digest):
            raise ShadowUnavailable(f"the shadow process does not know the job `{order.job_id}`")
        told_s = 0.0

        def progress(share: float) -> None:
            nonlocal told_s
            if time.monotonic() - told_s > PROGRESS_S:
                told_s = time.monotonic()
                self._say(share)

        def called_off() -> bool:
            return self._called_off == job.id

        if called_off():
            raise Cancelled("the what-if run was called off")
        state = job.state if job.state is not None else self._estimate(city, job)
        return run_arm(
            self._network_of(city, seed_of(state, city.scenario), job.kernel),
            state,
            job.changes if order.with_changes else (),
            job.look_at,
            seed=order.seed,
            horizon_s=job.horizon_s,
            on_progress=progress,
            cancelled=called_off,
        )

    def _network_of(self, city: City, seed: int, name: Name) -> Network:
        key = (city.digest, seed, name)
        if self._network is None or self._network[0] != key:
            self._network = None  # two at once might not fit
            topology = topology_of(city.scenario)
            self._network = (key, Network(city.scenario, topology, city.civil, seed=seed, kernel=_kernel(name)))
        return self._network[1]

    def _estimate(self, city: City, job: Job) -> bytes:
        """Return the state of a network that is configured like the scene's, at its time of the day."""
        if self._estimated is None or self._estimated[0] != job.id:
            scenario = city.scenario
            topology = topology_of(scenario).with_attributes(
                (one.entity_id, one.attribute, one.value) for one in job.configured
            )
            network = Network(
                scenario, topology, city.civil, seed=scenario.seed, sim_time_s=job.now_s, kernel=_kernel(job.kernel)
            )
            for _ in range(WARM_UP_STEPS):
                network.step()
            self._estimated = (job.id, network.snapshot())
        return self._estimated[1]


def _kernel(name: Name) -> Kernel:
    if name == "numba":
        kernels.is_compiled(folder())  # numba must look there from its first import on
    return kernels.load(name)


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def main() -> None:
    """Serve the parent until it is gone."""
    parser = argparse.ArgumentParser(prog="twin_app.shadow_process")
    parser.add_argument("--memory-mb", type=int, default=0)
    options = parser.parse_args()
    # What a library prints must not get between our messages.
    output = cast("BinaryIO", os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if options.memory_mb:
        _limit_memory(options.memory_mb)
    child = Child(output)
    threading.Thread(target=child.listen, args=(sys.stdin.buffer,), daemon=True, name="parent").start()
    with contextlib.suppress(BrokenPipeError):
        child.work()


if __name__ == "__main__":
    main()
