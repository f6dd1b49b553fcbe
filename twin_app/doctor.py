"""`twin doctor`: what is installed, what was chosen and why, and how the running twin is."""

from __future__ import annotations

import asyncio
import platform
import shutil
import socket
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from twin.errors import CorruptStore, MissingExtra, TwinError
from twin_app.data_folder import MAIN, default_path, running
from twin_app.rest_client import RestClient, find_url
from twin_app.settings import Settings

LATER = {
    "neo4j": "knowledge graph on Neo4j",
    "torch": "real language models",
    "faster_whisper": "speech to text with Whisper",
    "open_clip": "images through CLIP",
}
"""Optional parts that the base install does not bring."""

LOW_DISK_GB = 2.0


def examine(*, data_dir: Path | None, url: str | None) -> list[dict[str, str]]:
    """Return findings `{part, state: ok | note | bad, text}`."""
    return [*_machine(), *_packages(), _encoder(), *_folder(data_dir), *_ports(), *_running(url, data_dir)]


def _finding(part: str, state: str, text: str) -> dict[str, str]:
    return {"part": part, "state": state, "text": text}


def _machine() -> list[dict[str, str]]:
    v = sys.version_info
    state = "ok" if (v.major, v.minor) >= (3, 11) else "bad"
    return [_finding("python", state, f"{v.major}.{v.minor}.{v.micro} on {platform.system()} {platform.machine()}")]


def _packages() -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for name in ("grpcio", "protobuf", "numpy", "fastapi", "duckdb", "ladybug"):
        try:
            found.append(_finding(name, "ok", version(name)))
        except PackageNotFoundError:
            found.append(_finding(name, "bad", "missing; run `pip install twin6g` again"))
    for module, use in LATER.items():
        if _importable(module):
            found.append(_finding(module, "ok", f"installed ({use})"))
        else:
            found.append(_finding(module, "note", f"not installed; only for: {use}"))
    return found


def _importable(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _encoder() -> dict[str, str]:
    from agent.encoder import MiniLmEncoder

    try:
        encoder = MiniLmEncoder(Settings().agent.encoder)
    except MissingExtra as error:
        return _finding("encoder", "note", f"{error}; the linear router serves until then")
    except TwinError as error:
        return _finding("encoder", "bad", str(error))
    return _finding("encoder", "ok", f"{encoder.name}, hash checked")


def _folder(data_dir: Path | None) -> list[dict[str, str]]:
    folder = data_dir or Settings().data_dir or default_path()
    if not folder.exists():
        return [_finding("data folder", "note", f"{folder} does not exist yet; `twin up` makes it")]
    free_gb = shutil.disk_usage(folder).free / 1e9
    state = "ok" if free_gb > LOW_DISK_GB else "bad"
    findings = [_finding("data folder", state, f"{folder}, {free_gb:.0f} GB free")]
    if (folder / "journal.sqlite").exists() or any(folder.glob("scenes/*/journal.sqlite")):
        result = verify_journal(data_dir)
        findings.append(_finding("journal", "ok" if result["whole"] else "bad", result["text"]))
    return findings


def verify_journal(data_dir: Path | None) -> dict[str, Any]:
    """Return whether every row of the journals of all scenes hangs together: `{whole, rows, text}`."""
    folder = data_dir or Settings().data_dir or default_path()
    paths = [
        path for path in (folder / "journal.sqlite", *sorted(folder.glob("scenes/*/journal.sqlite"))) if path.exists()
    ]
    if not paths:
        return {"whole": True, "rows": 0, "text": f"there is no journal in {folder} yet"}
    if len(paths) == 1:
        return _verify(paths[0])
    found = {path.parent.name if path.parent != folder else MAIN: _verify(path) for path in paths}
    return {
        "whole": all(one["whole"] for one in found.values()),
        "rows": sum(one["rows"] or 0 for one in found.values()),
        "text": "; ".join(f"{scene_id}: {one['text']}" for scene_id, one in found.items()),
    }


def _verify(path: Path) -> dict[str, Any]:
    from twin_app.journal import SqliteJournal

    async def check() -> int:
        journal = SqliteJournal(path)
        await journal.open()
        try:
            return await journal.verify()
        finally:
            await journal.close()

    try:
        rows = asyncio.run(check())
    except (CorruptStore, sqlite3.Error) as error:
        return {"whole": False, "rows": None, "text": str(error)}
    return {"whole": True, "rows": rows, "text": f"{rows} rows, the chain is whole"}


def _ports() -> list[dict[str, str]]:
    settings = Settings()
    found: list[dict[str, str]] = []
    for name, port in (("http port", settings.http.port), ("bridge port", settings.grpc.port)):
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        text = f"{port} is in use (by a running twin, or choose another)" if taken else f"{port} is free"
        found.append(_finding(name, "note" if taken else "ok", text))
    return found


def _running(url: str | None, data_dir: Path | None) -> list[dict[str, str]]:
    if url is None and running(data_dir) is None:
        return [_finding("twin", "note", "none is running; start one with `twin up`")]
    try:
        client = RestClient(find_url(url, data_dir), data_dir)
        health = client.get("/v1/health")
    except TwinError as error:
        return [_finding("twin", "bad", str(error))]
    findings = [_finding("twin", "ok" if health["status"] == "ok" else "note", f"{client.url}, {health['status']}")]
    findings += [
        _finding(f"twin {part}", {"ok": "ok", "degraded": "note"}.get(facts["status"], "bad"), facts["text"])
        for part, facts in health["parts"].items()
    ]
    dropped = health["dropped"]
    total = sum(dropped.values())
    said = ", ".join(f"{k} {v}" for k, v in dropped.items())
    findings.append(_finding("dropped", "ok" if total == 0 else "note", said))
    return findings
