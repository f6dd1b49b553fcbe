"""Write the tables of ``docs/traffic.md`` from the fits that ship in ``twin/data`` and from the tables of the model.

Usage: ``python tools/fit_tables.py [--check]``. Each table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from twin.people import Level
from twin.traffic import SessionModel, fitted
from twin.traffic.applications import applications
from twin.traffic.groups import GROUPS, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).parents[1] / "docs" / "traffic.md"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def curves() -> str:
    """Return the residual of every fitted curve."""
    document = fitted("daily_curves.json")["curves"]
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return _table(
        ("land use", *days),
        (
            (name, *(f"{week[day]['residual_rms']:.3f} / {week[day]['residual_max']:.3f}" for day in days))
            for name, week in document.items()
        ),
    )


def noise() -> str:
    """Return how working days differ from each other."""
    document = fitted("daily_curves.json")["noise"]
    rows = [
        (name, f"{row['sigma']:.3f}", *(f"{value:.2f}" for value in row["correlation"]), str(row["n"]))
        for name, row in document["land_uses"].items()
    ]
    memory = f"AR(1) of {document['memory_s']} s"
    model = [f"{2.718281828 ** (-600.0 * lag / document['memory_s']):.2f}" for lag in (1, 2, 3, 6)]
    rows.append((memory, f"{document['sigma']:.3f}", *model, ""))
    return _table(("land use", "sigma of the logarithm", "10 min", "20 min", "30 min", "60 min", "bins"), rows)


def bursts() -> str:
    """Return the mixtures and how far they are from the traces."""
    rows = []
    for name, row in fitted("sessions.json")["applications"].items():
        ks = row["ks"]
        distances = (
            f"{ks['duration']:.3f} ({ks['duration_single']:.3f})",
            f"{ks['rate']:.3f} ({ks['rate_single']:.3f})",
            f"{ks['volume']:.3f}",
            f"{ks['pause']:.3f}",
        )
        rows.append((name, str(row["n"]), *distances, f"{row['volume_tail_index']:.2f}"))
    return _table(("application", "bursts", "KS length", "KS rate", "KS volume", "KS pause", "Hill index"), rows)


def mix() -> str:
    """Return what each application asks for."""
    mean_bps = SessionModel().mean_application_bps
    return _table(
        ("application", "SST", "mean rate", "delay budget", "together", "figures", "source"),
        (
            (
                one.name,
                str(one.sst),
                f"{mean / 1e6:.2f} Mbit/s" if mean > 1e5 else f"{mean:.0f} bit/s",
                f"{one.delay_budget_ms:.0f} ms",
                f"{one.burst_bit / 1e3:.3g} kbit",
                "fitted" if one.is_fitted else "assumed",
                one.source,
            )
            for one, mean in zip(applications(), mean_bps, strict=True)
        ),
    )


def groups() -> str:
    """Return who is found where and does what."""
    return _table(
        ("group", *(f"in {use.value}" for use in PEOPLE), "walk / drive / stay", "time with data"),
        (
            (
                name,
                *(f"{100 * shares.get(name, 0.0):.0f} %" for shares in PEOPLE.values()),
                " / ".join(f"{100 * share:.0f}" for share in group.mobility),
                ", ".join(f"{app} {100 * share:g} %" for app, share in group.time_share.items()),
            )
            for name, group in GROUPS.items()
        ),
    )


def level() -> str:
    """Return the absolute level."""
    it = Level()
    return _table(
        ("subscription", "busy hour of one", "per MHz of carrier", "busy hour per hertz"),
        [
            (
                f"{it.month_byte / 1e9:g} GB a month",
                f"{it.busy_hour_bps / 1e3:.0f} kbit/s",
                f"{it.subscriptions_per_mhz:g} subscriptions",
                f"{it.busy_hour_bps_per_hz:.2f} bit/s",
            )
        ],
    )


TABLES = {one.__name__: one for one in (curves, noise, bursts, mix, groups, level)}


def filled(page: str) -> str:
    """Return the page with every table as it is now."""
    for name, make in TABLES.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        table = make()
        page, count = place.subn(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", page)
        if count != 1:
            raise SystemExit(f"`{PAGE}` needs one `<!-- {name} -->` ... `<!-- /{name} -->`, it has {count}")
    return page


def main() -> None:
    """Write the page, or say whether it is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    now = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().check:
        sys.exit(0 if filled(now) == now else f"`{PAGE}` is old; run `python tools/fit_tables.py`")
    PAGE.write_text(filled(now), encoding="utf-8")


if __name__ == "__main__":
    main()
