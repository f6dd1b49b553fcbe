"""The arithmetic of every tick, twice: compiled by numba, and in plain numpy as its reference.

A kernel is a bundle of functions, arrays in and arrays out. Both bundles have the same functions with the same
signatures and agree to the tolerances that their tests state; within one kernel the same seed gives the same bits.
Numba is imported at the first use of its kernel only. Compiling takes a while, so a program that must be there at
once begins with numpy, lets :func:`compile_into` run in a child process, and changes over when :func:`is_compiled`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from twin.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

Name = Literal["numpy", "numba"]
PARTS = ("radio", "share", "handover")
"""``numpy_radio.py`` beside ``numba_radio.py``, and so on; the compiled ones also have a ``warm()``."""


class Kernel:
    """One bundle; its functions are loaded when first asked for.

    Attributes:
        name: Which one it is.
    """

    def __init__(self, name: Name) -> None:
        self.name: Name = name

    @cached_property
    def hear(self) -> Callable[..., Any]:
        """What listeners hear of cells, see :mod:`twin.kernels.numpy_radio`."""
        return self._module("radio").hear

    @cached_property
    def radiate(self) -> Callable[..., Any]:
        """The power of it, see :mod:`twin.kernels.numpy_radio`."""
        return self._module("radio").radiate

    @cached_property
    def share(self) -> Callable[..., Any]:
        """Who gets what, see :mod:`twin.kernels.numpy_share`."""
        return self._module("share").share

    @cached_property
    def settle(self) -> Callable[..., Any]:
        """Where load and interference go, see :mod:`twin.kernels.numpy_share`."""
        return self._module("share").settle

    @cached_property
    def divide(self) -> Callable[..., Any]:
        """Who gets which part of a cell, see :mod:`twin.kernels.numpy_share`."""
        return self._module("share").divide

    @cached_property
    def tally(self) -> Callable[..., Any]:
        """What came of it, see :mod:`twin.kernels.numpy_share`."""
        return self._module("share").tally

    @cached_property
    def handover(self) -> Callable[..., Any]:
        """Who changes cells, see :mod:`twin.kernels.numpy_handover`."""
        return self._module("handover").handover

    def _module(self, part: str) -> Any:  # a module
        return importlib.import_module(f"twin.kernels.{self.name}_{part}")


@cache
def load(name: Name | Literal["auto"] = "numpy") -> Kernel:
    """Return a kernel; "auto" is numba where it is installed.

    Raises:
        MissingExtra: Numba is asked for and not installed.
    """
    installed = importlib.util.find_spec("numba") is not None
    if name == "numba" and not installed:
        raise MissingExtra("the compiled kernel needs `numba`, which is not installed: `pip install numba`")
    if name == "auto":
        return load("numba" if installed else "numpy")
    return Kernel(name)


def is_compiled(folder: Path) -> bool:
    """Return whether the numba kernel lies compiled in this folder, by this Python for this processor.

    From then on this process keeps its compiled code there.
    """
    if importlib.util.find_spec("numba") is None or not (folder / _mark()).exists():
        return False
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
    return True


def compile_into(folder: Path) -> None:
    """Compile the numba kernel and keep it in a folder; half a minute of one processor core.

    Call it in a process of its own (``python -m twin.kernels FOLDER``): the compiler holds the interpreter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)  # read by numba when it is imported
    for part in PARTS:
        importlib.import_module(f"twin.kernels.numba_{part}").warm()
    (folder / _mark()).touch()


def _mark() -> str:
    """Return the name of the file that says what was compiled: sources, versions, processor."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("numba_*.py")):
        digest.update(source.read_bytes())
    for package in ("numba", "numpy"):
        digest.update(importlib.metadata.version(package).encode())
    digest.update(f"{sys.version} {platform.machine()} {platform.processor()} {platform.node()}".encode())
    return f"compiled-{digest.hexdigest()[:16]}"
