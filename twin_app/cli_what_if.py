"""`twin what-if ...`: try changes out on a copy of the network, and what commands print of a shadow twin."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from twin.attributes import ATTRIBUTES, to_managed
from twin.errors import InvalidInput
from twin_app.cli_scenes import AsJson, DataDir, Url

if TYPE_CHECKING:
    from collections.abc import Callable

    from twin.attributes import Attribute, AttributeValue

LOOK_S = 0.2
InScene = Annotated[
    str | None,
    typer.Option("--scene", envvar="TWIN_SCENE", help="Which scene, where the twin keeps several."),
]

_out = Console(soft_wrap=True)
_err = Console(stderr=True, soft_wrap=True)


def what_if(
    changes: Annotated[
        list[str],
        typer.Argument(
            help='Such as "cell-7-2 tilt 8", "cell-7-2 power 43", "cell-7-2 lock", or with a 3GPP name and unit:'
            ' "cell-7-2 digitalTilt 80"; several are tried out together.'
        ),
    ],
    horizon_s: Annotated[
        float | None, typer.Option("--horizon", min=5, max=900, help="Simulated seconds to look ahead.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, max=32, help="Runs with and without.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every figure that was looked at.")] = False,
    scene: InScene = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Try changes out on a copy of the network; nothing is changed. Ctrl-C calls it off."""
    from twin_app.rest_client import RestClient, find_url

    client = RestClient(find_url(url, data_dir), data_dir, scene=scene)
    body = {"actions": [action_of(text) for text in changes], "horizon_s": horizon_s, "seeds": seeds}
    run = client.post("/v1/what-if", body)
    _err.print(f"what-if {run['id']}", highlight=False)
    try:
        with _Bar("trying it out") as tell:
            while run["state"] == "running":
                tell(run["progress"])
                time.sleep(LOOK_S)
                run = client.get(f"/v1/what-if/{run['id']}")
    except KeyboardInterrupt:
        client.delete(f"/v1/what-if/{run['id']}")
        _err.print("called off", highlight=False)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(run, indent=2, ensure_ascii=False))
    elif run["result"] is not None:
        _print_result(run, everything=everything)
    else:
        _err.print(run["error"]["detail"] if run["error"] else run["state"], highlight=False, markup=False)
    if run["state"] != "done":
        raise typer.Exit(1)


class _Bar:
    """A progress bar on standard error."""

    def __init__(self, text: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=_err,
            transient=True,
            disable=not _err.is_terminal,
        )
        self._task = self._progress.add_task(text, total=1.0)

    def __enter__(self) -> Callable[[float], None]:
        self._progress.start()
        return lambda share: self._progress.update(self._task, completed=share)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _print_result(run: dict[str, Any], *, everything: bool) -> None:
    result = run["result"]
    for action in run["actions"]:
        _out.print(action["in_words"], highlight=False, markup=False)
    _out.print(
        f"over {result['horizon_s']:g} s from {result['from']}, {len(result['seeds'])} runs with and without it:",
        highlight=False,
        markup=False,
    )
    told = [one["in_words"] for one in result["effects"]] if everything else result["in_words"]
    for sentence in told:
        _out.print(f"  {sentence}", highlight=False, markup=False)
    if result["fidelity"] != "state":
        _out.print("only approximate: the scene gave no state", highlight=False)


def shadow_in_words(change: dict[str, Any], *, most: int = 3) -> list[str]:
    """Return what a change's shadow twin says, for lists and plans."""
    shadow = change["shadow"]
    if shadow is None:
        return []
    match shadow["state"]:
        case "running":
            return [f"being tried out, {shadow['progress']:.0%}"]
        case "unavailable":
            return [f"not tried out: {shadow['reason']}"]
        case _:
            head = ["the shadow twin advises AGAINST it"] if shadow["advice"] == "harmful" else []
            near = ["only approximate"] if shadow["fidelity"] == "approximate" else []
            return [*head, *near, *shadow["in_words"][:most]]


def wait_for_shadow(client: Any, change: dict[str, Any]) -> dict[str, Any]:
    """Return the change once it has been tried out."""
    if change["state"] != "proposed":
        return change
    with _Bar(f"trying {change['id']} out") as tell:
        while change["state"] == "proposed":
            tell((change["shadow"] or {}).get("progress", 0.0))
            time.sleep(LOOK_S)
            change = client.get(f"/v1/changes/{change['id']}")
    return change


def action_of(text: str) -> dict[str, AttributeValue]:
    """Return `cell-7-2 tilt 8` as an action of REST.

    Raises:
        InvalidInput: It cannot be read.
    """
    entity, *rest = text.split() or [""]
    if [word.lower() for word in rest] in (["lock"], ["unlock"]):
        return {"entity": entity, "attribute": "administrativeState", "value": f"{rest[0].upper()}ED"}
    for length in range(len(rest) - 1, 0, -1):
        name = " ".join(rest[:length])
        row = next((row for row in ATTRIBUTES if row.name.lower() == name.lower()), None)
        if row is not None:
            return {"entity": entity, "attribute": row.name, "value": _value(rest[length:], row, row.unit, text)}
        row = next(
            (row for row in ATTRIBUTES if name.lower() in {row.label.lower(), row.native_name, *row.words}), None
        )
        if row is not None:
            value = _value(rest[length:], row, row.native_unit, text)
            return {"entity": entity, "attribute": row.name, "value": to_managed(row.name, value)}
    known = ", ".join(row.words[0] for row in ATTRIBUTES if row.words)
    raise InvalidInput(f'`{text}` cannot be read; say for example "cell-7-2 tilt 8". Known: {known}, and 3GPP names')


def _value(words: list[str], row: Attribute, unit: str, text: str) -> AttributeValue:
    if len(words) > 1 and " ".join(words[1:]).lower() == unit.lower():
        words = words[:1]
    if row.choices:
        return next((one for one in row.choices if one.lower() == " ".join(words).lower()), " ".join(words))
    try:
        return float(" ".join(words).lower().removesuffix(unit.lower()))
    except ValueError:
        raise InvalidInput(f"`{text}` has no number for {row.label} at its end") from None
