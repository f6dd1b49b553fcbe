"""The transport network behind the sites: aggregation routers, the user-plane function and their links.

One router per eight sites, in the middle of its sites; fibre backhaul of 10 Gbit/s for most sites, microwave
of 1 to 2.5 Gbit/s for some, as operators mix them; 25 or 100 Gbit/s towards the core. The routers also form a ring, so
that the loss of an uplink cuts nobody off. In the first mile second ways are rare, for want of money and ducts
(Metsälä and Salmelin, Mobile Backhaul, 2012, section 7.8): one site in five has a radio hop to another router. How
many exactly is an assumption. Metrics keep ring and second ways empty until they are needed.
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
_RING_BPS = 100e9
_DUAL_HOMED_SHARE = 0.2
_DUCT_DETOUR = 1.3
"""Fibre follows streets: so much longer than the straight line (assumption)."""
_METRIC, _RING_METRIC, _SECOND_METRIC = 10, 20, 100
"""Least first: own uplink (20 in all), around the ring (40), second backhaul (110)."""


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
    """Return nodes (`node-upf`, `node-agg-1`) and links (`link-7-1`, `link-agg-1`, `link-agg-1-2`) for these sites.

    Links are ordered: the backhaul of each site, uplinks of routers, the ring, second backhauls of sites.
    """
    position_m = np.array([site.position_m[:2] for site in sites], dtype=np.float64).reshape(-1, 2)
    count = math.ceil(len(sites) / _SITES_PER_ROUTER)
    centre_m = _centres(position_m, count)
    core_m = position_m.mean(axis=0)
    nodes = [
        TransportNode(
            id="node-upf",
            name="UPF",
            role="upf",
            position_m=_place(core_m),
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
        for number, point in enumerate(centre_m, start=1)
    ]
    offset_m = position_m[:, None, :] - centre_m[None, :, :]
    apart_m = np.hypot(offset_m[..., 0], offset_m[..., 1])
    links = [
        *_backhauls(sites, apart_m, rng_of(seed, "transport")),
        *_uplinks(centre_m, core_m, members=np.bincount(apart_m.argmin(axis=1), minlength=count)),
        *_ring(centre_m, core_m),
    ]
    if count > 1:
        links += _second_backhauls(sites, apart_m, rng_of(seed, "second backhaul"))
    return tuple(nodes), tuple(links)


def _length_m(straight_m: float, detour: float = _DUCT_DETOUR) -> float:
    """Return the way of the light; a link inside one building has a metre."""
    return round(max(straight_m * detour, 1.0), 1)


def _backhauls(sites: Sequence[Site], apart_m: NDArray[np.float64], rng: np.random.Generator) -> list[TransportLink]:
    links: list[TransportLink] = []
    for site, distance_m in zip(sites, apart_m, strict=True):
        number, router = site.id.removeprefix("site-"), int(distance_m.argmin())
        microwave = rng.random() < _MICROWAVE_SHARE
        links.append(
            TransportLink(
                id=f"link-{number}-{router + 1}",
                name=f"Backhaul of site {number}",
                a_id=site.id,
                b_id=f"node-agg-{router + 1}",
                capacity_bps=float(rng.choice(_MICROWAVE_BPS)) if microwave else _FIBRE_BPS,
                length_m=_length_m(distance_m[router], 1.0 if microwave else _DUCT_DETOUR),
                igp_metric=_METRIC,
                dn=f"{site.dn},EP_Transport=1",
                aliases=(f"backhaul of site {number}", f"S{number} backhaul"),
            )
        )
    return links


def _second_backhauls(
    sites: Sequence[Site], apart_m: NDArray[np.float64], rng: np.random.Generator
) -> list[TransportLink]:
    """Give some sites a radio hop to the next router but one, which carries nothing while the first way is whole."""
    links: list[TransportLink] = []
    for site, distance_m in zip(sites, apart_m, strict=True):
        second, capacity_bps = rng.random() < _DUAL_HOMED_SHARE, float(rng.choice(_MICROWAVE_BPS))
        if not second:
            continue
        number, router = site.id.removeprefix("site-"), int(np.argsort(distance_m, kind="stable")[1])
        links.append(
            TransportLink(
                id=f"link-{number}-{router + 1}",
                name=f"Second backhaul of site {number}",
                a_id=site.id,
                b_id=f"node-agg-{router + 1}",
                capacity_bps=capacity_bps,
                length_m=_length_m(distance_m[router], 1.0),
                igp_metric=_SECOND_METRIC,
                dn=f"{site.dn},EP_Transport=2",
                aliases=(f"second backhaul of site {number}",),
            )
        )
    return links


def _uplinks(
    centre_m: NDArray[np.float64], core_m: NDArray[np.float64], *, members: NDArray[np.intp]
) -> list[TransportLink]:
    return [
        TransportLink(
            id=f"link-agg-{number}",
            name=f"Uplink of aggregation router {number}",
            a_id=f"node-agg-{number}",
            b_id="node-upf",
            capacity_bps=25e9 if members[number - 1] <= _SITES_PER_ROUTER // 2 else 100e9,
            length_m=_length_m(math.dist(point, core_m)),
            igp_metric=_METRIC,
            dn=f"SubNetwork=1,ManagedElement=AGG-{number},EP_Transport=1",
            aliases=(f"uplink of router {number}",),
        )
        for number, point in enumerate(centre_m, start=1)
    ]


def _ring(centre_m: NDArray[np.float64], core_m: NDArray[np.float64]) -> list[TransportLink]:
    """Join the routers in the order in which they lie around the core; two by one link, one by none."""
    count = len(centre_m)
    around = np.argsort(np.arctan2(*(centre_m - core_m).T), kind="stable")
    pairs = sorted(
        {tuple(sorted((int(a), int(b)))) for a, b in zip(around, np.roll(around, -1), strict=True) if a != b}
    )
    ports = [2] * count
    links: list[TransportLink] = []
    for a, b in pairs:
        links.append(
            TransportLink(
                id=f"link-agg-{a + 1}-{b + 1}",
                name=f"Ring from aggregation router {a + 1} to {b + 1}",
                a_id=f"node-agg-{a + 1}",
                b_id=f"node-agg-{b + 1}",
                capacity_bps=_RING_BPS,
                length_m=_length_m(math.dist(centre_m[a], centre_m[b])),
                igp_metric=_RING_METRIC,
                dn=f"SubNetwork=1,ManagedElement=AGG-{a + 1},EP_Transport={ports[a]}",
                aliases=(f"ring between router {a + 1} and {b + 1}",),
            )
        )
        ports[a] += 1
    return links
