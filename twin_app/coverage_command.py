"""`twin coverage`: builds a city's network at rest and draws its SINR map and distribution."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.clock import CivilTime
from twin.network import Network
from twin.topology import topology_of
from twin_app.coverage import draw_coverage
from twin_app.scenarios import ScenarioSpec, build_scenario

if TYPE_CHECKING:
    from pathlib import Path

WARM_UP_S = 5.0


def draw(
    *,
    png: Path,
    city: tuple[Path, ...],
    area: tuple[float, float, float, float] | None,
    sites: Path | None,
    scenario: Path | None,
    seed: int | None,
    resolution_m: float,
) -> dict[str, Any]:
    """Write the picture; return what it shows in figures (dB over the area)."""
    given: dict[str, Any] = {} if seed is None else {"seed": seed}
    spec = ScenarioSpec(city=city, area=area, sites=sites, scenario=scenario, **given)
    made = build_scenario(spec)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    network = Network(made, topology_of(made), CivilTime(epoch=noon, timezone=made.timezone), seed=made.seed)
    for _ in range(round(WARM_UP_S)):
        network.step(1.0)
    draw_coverage(network, png, resolution_m=resolution_m)
    sinr_db = network.sinr_map(resolution_m=resolution_m).sinr_db
    low, mid, high = (round(float(v), 1) for v in np.nanpercentile(sinr_db, [5, 50, 95]))
    return {"city": made.name, "cells": len(made.cells), "sinr_p5_db": low, "sinr_median_db": mid, "sinr_p95_db": high}
