"""`twin scenes ...`: the scenes of a running twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

scenes_app = typer.Typer(help="The scenes of a running twin: list, add, remove.", no_args_is_help=True)

Url = Annotated[str | None, typer.Option("--url", help="Where the twin answers; else TWIN_URL, else the data folder.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="TWIN_DATA_DIR", help="Data folder; the platform's user data folder by default."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
COLUMNS = ("scene", "city", "state", "shown by", "now", "alarms")

_out = Console(soft_wrap=True)


def _client(url: str | None, data_dir: Path | None) -> Any:
    from twin_app.rest_client import RestClient, find_url

    return RestClient(find_url(url, data_dir), data_dir)


@scenes_app.command("list")
def scenes_list(url: Url = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show every scene: who shows it, what time it is there, how long it has been away."""
    rows = _client(url, data_dir).get("/v1/scenes")["items"]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for title in COLUMNS:
        table.add_column(title, overflow="fold")
    for row in rows:
        shown_by = ", ".join(f"{one['engine']} #{one['fencing_number']}" for one in row["sessions"])
        fields = (row["id"], row["name"], _state(row), shown_by, row["now"], str(row["alarms_active"]))
        table.add_row(*(escape(text) for text in fields))
    _out.print(table)


def _state(row: dict[str, Any]) -> str:
    if row["live"]:
        return "live"
    if row["absent_s"] is None:
        return f"telling its past, {row['history']['progress']:.0%}"
    return f"away for {row['absent_s']:.0f} s"


@scenes_app.command("add")
def scenes_add(
    scene_id: Annotated[str, typer.Argument(help="Id of the new scene: a-z, 0-9, dot, dash, underscore.")],
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of its city; default: made from the id.")
    ] = None,
    ues: Annotated[int | None, typer.Option("--ues", min=0, max=20_000, help="Number of UEs.")] = None,
    past: Annotated[str | None, typer.Option("--past", help="0, 24h or 14d; default: the twin's setting.")] = None,
    no_scene: Annotated[bool, typer.Option("--no-scene", help="Start no headless scene for it.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a generated city; it comes back after a restart. A city of your own: `twin up --scene ID=FILE.yaml`."""
    body = {"id": scene_id, "seed": seed, "ues": ues, "past": past, "with_scene": not no_scene}
    row = _client(url, data_dir).post("/v1/scenes", body)
    if as_json:
        print(json.dumps(row, indent=2, ensure_ascii=False))
    else:
        _out.print(f"{row['id']}: {row['name']}", highlight=False, markup=False)


@scenes_app.command("remove")
def scenes_remove(
    scene_id: Annotated[str, typer.Argument(help="Which one.")],
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete its folder, too: journal and history are gone for good.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask (for scripts).")] = False,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Stop a scene. Its folder stays unless it is purged; added again it goes on where it stopped."""
    if purge and not yes and not typer.confirm(f"Delete the journal and the history of `{scene_id}` for good?"):
        raise typer.Exit(1)
    _client(url, data_dir).delete(f"/v1/scenes/{scene_id}", purge=purge or None)
