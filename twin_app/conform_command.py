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
from twin.errors import InvalidInput
from twin_app.scene_login import login

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.wires import ClientTls

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


def check_a_server(
    *, url: str, token: str, watch: str, scene: str, patient: bool, ca: Path | None, as_json: bool
) -> int:
    """Check a server; returns the exit code.

    Raises:
        Unavailable: Nobody listens there, or this client is not let in. InvalidInput: No such address, or the
            certificates are none. StartError: A file cannot be read.
    """
    login_token, certificates = login({**os.environ, **({} if ca is None else {"TWIN_CA": str(ca)})})
    target = Target(
        url=url,
        token=token or login_token,
        watch_scene=watch,
        scene_id=scene,
        patient=patient,
        tls=_context(certificates),
        grpc_tls=grpc.ssl_channel_credentials(certificates.ca, certificates.key, certificates.certificate),
    )
    report = _shows(as_json)
    asyncio.run(check_server(target, report))
    return _finish(report, as_json=as_json)


def _context(certificates: ClientTls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=certificates.ca.decode() if certificates.ca else None)
        if certificates.certificate is not None:  # the standard library reads it from files only
            context.load_cert_chain(os.environ["TWIN_CLIENT_CERTIFICATE"], os.environ["TWIN_CLIENT_KEY"])
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidInput(f"the certificates cannot be used ({exc}); give them as PEM") from exc
    return context


def check_a_client(*, listen: str, wait_s: float, as_json: bool) -> int:
    """Wait for a client and check it; returns the exit code."""

    async def run() -> Report:
        report = _shows(as_json)
        async with Listener(listen) as listener:
            print(f"waiting for a client at {listener.url}", file=sys.stderr, flush=True)
            await ClientChecks(listener, wait_s=wait_s).run(report)
        return report

    return _finish(asyncio.run(run()), as_json=as_json)
