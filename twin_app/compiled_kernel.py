"""The compiled kernel for a scene that must be there at once: numpy serves while numba compiles beside it.

Compiled code lies in the user's cache folder, once for all twins of this machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import structlog

from twin import kernels

if TYPE_CHECKING:
    from twin.kernels import Kernel, Name

FOLDER = "TWIN_KERNEL_CACHE"
"""Environment variable that names another folder for compiled code."""
CHOICE = "TWIN_KERNEL"
"""Environment variable: auto, numpy or numba."""

_log = structlog.get_logger("scene")


def folder() -> Path:
    """Return where compiled code lies."""
    own = os.environ.get(FOLDER)
    return Path(own) if own else Path(platformdirs.user_cache_dir("twin6g")) / "kernels"


def kernel_at_hand() -> Name:
    """Return the best kernel that needs no compiling now."""
    choice = os.environ.get(CHOICE, "auto")
    return "numba" if choice == "numba" or (choice == "auto" and kernels.is_compiled(folder())) else "numpy"


class KernelChoice:
    """Which kernel a process should use, now and later.

    Attributes:
        kernel: For now.
    """

    def __init__(self) -> None:
        self._folder = folder()
        self.kernel = kernels.load(kernel_at_hand())
        wanted = os.environ.get(CHOICE, "auto") != "numpy" and kernels.load("auto").name == "numba"
        self._compiler = self._compile() if wanted and self.kernel.name == "numpy" else None

    def better(self) -> Kernel | None:
        """Return the compiled kernel once it is there, for the first time; else None. Cheap."""
        if self._compiler is None or self._compiler.poll() is None:
            return None
        code = self._compiler.returncode
        self.close()
        if code or not kernels.is_compiled(self._folder):
            _log.warning("kernel_not_compiled", exit_code=code, folder=str(self._folder))
            return None
        self.kernel = kernels.load("numba")
        _log.info("kernel_compiled", folder=str(self._folder))
        return self.kernel

    def _compile(self) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-m", "twin.kernels", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            _log.warning("kernel_not_compiled", error=str(error))
            return None

    def close(self) -> None:
        """End the compiler if it still runs."""
        if self._compiler is not None:
            self._compiler.kill()  # nothing when it has ended
            self._compiler.wait()
            if self._compiler.stdin is not None:
                self._compiler.stdin.close()
            self._compiler = None
