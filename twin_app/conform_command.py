"""`twin conform`: runs the conformance kit and prints which rules hold."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import grpc
from rich.console import Console
from rich.markup import escape

from bridge.conform.clients import ClientChecks
from bridge.conform.report import Outcome, Report, Verdict
from bridge.conform.servers import Target, check_server
from bridge.conform.wire import Listener

if TYPE_CHECKING:
    from pathlib import Path

_COLOURS = {Outcome.HOLDS: "green", Outcome.BROKEN: "bold red", Outcome.UNTESTED: "yellow"}


def _shows(as_json: bool) -> Report:  # noqa: FBT001 - one flag of the command line
    console = Console(stderr=as_json, soft_wrap=True)

    def show(verdict: Verdict) -> None:
        colour = _COLOURS[verdict.outcome]
        console.print(f"{verdict.rule:<4}[{colour}]{verdict.outcome:<9}[/]{verdict.what}", highlight=False)
        if verdict.outcome is not Outcome.HOLDS:
            console.print(f"             {escape(verdict.detail)}", highlight=False)

    return Report(on_verdict=None if as_json else show)


def _finish(report: Report, *, as_json: bool) -> int:
    count = {outcome: sum(v.outcome is outcome for v in report.verdicts) for outcome in Outcome}
    if as_json:
        print(json.dumps({"verdicts": [asdict(v) for v in report.verdicts], "count": count}, indent=2))
    else:
        print(f"{count[Outcome.HOLDS]} hold, {count[Outcome.BROKEN]} broken, {count[Outcome.UNTESTED]} untested")
    return 1 if report.broken else 0


def check_a_server(*, url: str, token: str, watch: str, scene: str, ca: Path | None, as_json: bool) -> int:
    """Check a server; returns the exit code.

    Raises:
        Unavailable: Nobody listens there. InvalidInput: No such address.
    """
    authority = ca.read_bytes() if ca is not None else None
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    target = Target(
        url=url,
        token=token or os.environ.get("TWIN_TOKEN", ""),
        watch_scene=watch,
        scene_id=scene,
        tls=context,
        grpc_tls=grpc.ssl_channel_credentials(authority),
    )
    report = _shows(as_json)
    asyncio.run(check_server(target, report))
    return _finish(report, as_json=as_json)


def check_a_client(*, listen: str, wait_s: float, as_json: bool) -> int:
    """Wait for a client and check it; returns the exit code."""

    async def run() -> Report:
        report = _shows(as_json)
        async with Listener(listen) as listener:
            print(f"waiting for a client at {listener.url}", file=sys.stderr, flush=True)
            await ClientChecks(listener, wait_s=wait_s).run(report)
        return report

    return _finish(asyncio.run(run()), as_json=as_json)
