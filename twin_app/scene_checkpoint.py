"""Where a headless scene stands, on disk: written whole or not at all, believed only when its hash fits."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge import codec, mapping
from twin.errors import CorruptStore, ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

    from twin.commands import CommandResult

_MAGIC = b"twin6g-scene-1\n"
_LENGTH = struct.Struct("<I")
FILE_NAME = "scene.checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything to go on from.

    Attributes:
        scenario_digest: The city that the state belongs to.
        seed: Seed of the world (a reset changes it).
        results: Answers to the last orders whose effect is in the state, so that none is obeyed twice.
        ordinal: Last order in the scene's ledger when the checkpoint was begun; those after it that `results` does not
            name are replayed onto the state.
        state: Snapshot of the network.
    """

    scenario_digest: str
    scene_id: str
    seed: int
    epoch: int
    sim_time_s: float
    paused: bool
    results: tuple[CommandResult, ...]
    ordinal: int = 0
    state: bytes


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in `folder`: temporary file, flushed to the disk, renamed."""
    header = {
        "scenario_digest": checkpoint.scenario_digest,
        "scene_id": checkpoint.scene_id,
        "seed": checkpoint.seed,
        "epoch": checkpoint.epoch,
        "sim_time_s": checkpoint.sim_time_s,
        "paused": checkpoint.paused,
        "results": [_result_text(result) for result in checkpoint.results],
        "ordinal": checkpoint.ordinal,
        "state_sha256": hashlib.sha256(checkpoint.state).hexdigest(),
    }
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{FILE_NAME}.new"
    with temporary.open("wb") as file:
        temporary.chmod(0o600)  # a state holds injected faults
        file.write(_MAGIC + _LENGTH.pack(len(text)) + text + checkpoint.state)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE_NAME)
    _sync_folder(folder)  # the ledger is cut once this returns


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there; renames are ordered by the file system
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint in `folder`, None when there is none.

    Raises:
        CorruptStore: The file is damaged.
    """
    path = folder / FILE_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        begin = len(_MAGIC) + _LENGTH.size
        end = begin + _LENGTH.unpack_from(raw, len(_MAGIC))[0]
        header: dict[str, Any] = json.loads(raw[begin:end])
        state = raw[end:]
        whole = raw.startswith(_MAGIC) and hashlib.sha256(state).hexdigest() == header["state_sha256"]
        checkpoint = Checkpoint(
            scenario_digest=header["scenario_digest"],
            scene_id=header["scene_id"],
            seed=header["seed"],
            epoch=header["epoch"],
            sim_time_s=header["sim_time_s"],
            paused=header["paused"],
            results=tuple(_result_of(text) for text in header["results"]),
            ordinal=header.get("ordinal", 0),  # older checkpoints are of before there was a ledger
            state=state,
        )
    except (ValueError, KeyError, TypeError, struct.error, ProtocolError) as exc:
        raise CorruptStore(f"the checkpoint `{path}` cannot be read ({exc}); the scene starts a fresh world") from exc
    if not whole:
        raise CorruptStore(f"the checkpoint `{path}` does not fit its hash; the scene starts a fresh world")
    return checkpoint


def _result_text(result: CommandResult) -> str:
    request = codec.ConnectRequest()
    mapping.write_result(request.command_ack, result)
    return base64.b64encode(request.SerializeToString()).decode()


def _result_of(text: str) -> CommandResult:
    return mapping.read_result(codec.decode_request(base64.b64decode(text)).command_ack)
