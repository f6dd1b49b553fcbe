"""The transport network behind the sites: aggregation routers, the user-plane function and their links.

One router per eight sites, in the middle of its sites; fibre backhaul of 10 Gbit/s for most sites, microwave
of 1 to 2.5 Gbit/s for some, as operators mix them; 25 or 100 Gbit/s towards the core.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import TransportLink, TransportNode
from twin_app.scenarios.citymap import rng_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Site

_SITES_PER_ROUTER = 8
_MICROWAVE_SHARE = 0.15
_FIBRE_BPS = 10e9
_MICROWAVE_BPS = (1e9, 2.5e9)


def _centres(position_m: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Group the positions by Lloyd's iteration from far-apart starts; returns ``[count, 2]``."""
    chosen = [int(np.hypot(*(position_m - position_m.mean(axis=0)).T).argmax())]
    while len(chosen) < count:
        offset = position_m[:, None, :] - position_m[chosen][None, :, :]
        chosen.append(int(np.hypot(offset[..., 0], offset[..., 1]).min(axis=1).argmax()))
    centre = position_m[chosen].copy()
    for _ in range(20):
        owner = _nearest(position_m, centre)
        for group in range(count):
            members = position_m[owner == group]
            if len(members):
                centre[group] = members.mean(axis=0)
    return centre


def _nearest(position_m: NDArray[np.float64], centre_m: NDArray[np.float64]) -> NDArray[np.intp]:
    offset = position_m[:, None, :] - centre_m[None, :, :]
    return np.hypot(offset[..., 0], offset[..., 1]).argmin(axis=1)


def _place(point: NDArray[np.float64]) -> tuple[float, float, float]:
    return round(float(point[0]), 1), round(float(point[1]), 1), 0.0


def transport_network(
    sites: Sequence[Site], *, seed: int
) -> tuple[tuple[TransportNode, ...], tuple[TransportLink, ...]]:
    """Return the nodes (`node-upf`, `node-agg-1` ...) and links (`link-7-1`, `link-agg-1` ...) for these sites."""
    rng = rng_of(seed, "transport")
    position_m = np.array([site.position_m[:2] for site in sites], dtype=np.float64).reshape(-1, 2)
    count = math.ceil(len(sites) / _SITES_PER_ROUTER)
    centre = _centres(position_m, count)
    core = position_m.mean(axis=0)
    nodes = [
        TransportNode(
            id="node-upf",
            name="UPF",
            role="upf",
            position_m=_place(core),
            dn="SubNetwork=1,ManagedElement=UPF-1,UPFFunction=1",
        )
    ]
    nodes += [
        TransportNode(
            id=f"node-agg-{number}",
            name=f"Aggregation router {number}",
            role="aggregation",
            position_m=_place(point),
            dn=f"SubNetwork=1,ManagedElement=AGG-{number}",
        )
        for number, point in enumerate(centre, start=1)
    ]
    owner = _nearest(position_m, centre)
    links: list[TransportLink] = []
    for site, router in zip(sites, owner, strict=True):
        number, router_number = site.id.removeprefix("site-"), int(router) + 1
        microwave = rng.random() < _MICROWAVE_SHARE
        capacity_bps = float(rng.choice(_MICROWAVE_BPS)) if microwave else _FIBRE_BPS
        links.append(
            TransportLink(
                id=f"link-{number}-{router_number}",
                name=f"Backhaul of site {number}",
                a_id=site.id,
                b_id=f"node-agg-{router_number}",
                capacity_bps=capacity_bps,
                dn=f"{site.dn},EP_Transport=1",
                aliases=(f"backhaul of site {number}", f"S{number} backhaul"),
            )
        )
    members = np.bincount(owner, minlength=count)
    links += [
        TransportLink(
            id=f"link-agg-{number}",
            name=f"Uplink of aggregation router {number}",
            a_id=f"node-agg-{number}",
            b_id="node-upf",
            capacity_bps=25e9 if members[number - 1] <= _SITES_PER_ROUTER // 2 else 100e9,
            dn=f"SubNetwork=1,ManagedElement=AGG-{number},EP_Transport=1",
            aliases=(f"uplink of router {number}",),
        )
        for number in range(1, count + 1)
    ]
    return tuple(nodes), tuple(links)
