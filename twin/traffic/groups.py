"""Groups of users: who does what, how often, and how they get about.

Shares are assumptions, set so that video makes about three quarters of the broadband volume, as operators report
(Ericsson Mobility Report, 2024 and 2025 editions), and so that about half of the people sit still.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import LandUse
from twin.errors import ScenarioError
from twin.traffic.applications import applications

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One behaviour.

    Attributes:
        time_share: Application to its share of the time with data; within a slice only what that slice carries.
        busy_duty: Slice/service type to the share of the busy hour with data.
        mobility: Chances to walk, to drive and to stay.
        keeps_hours: False = active at the same rate all day.
    """

    name: str
    time_share: Mapping[str, float]
    busy_duty: Mapping[int, float]
    mobility: tuple[float, float, float]
    keeps_hours: bool = True


GROUPS = {
    one.name: one
    for one in (
        Group(
            name="resident",
            time_share={"video": 0.89, "web": 0.06, "gaming": 0.035, "download": 0.01, "xr": 0.005},
            busy_duty={1: 0.45},
            mobility=(0.20, 0.15, 0.65),
        ),
        Group(
            name="office-worker",
            time_share={"video": 0.83, "web": 0.14, "download": 0.015, "gaming": 0.01, "xr": 0.005},
            busy_duty={1: 0.40},
            mobility=(0.25, 0.10, 0.65),
        ),
        Group(
            name="commuter",
            time_share={"video": 0.87, "web": 0.10, "gaming": 0.03},
            busy_duty={1: 0.45},
            mobility=(0.40, 0.50, 0.10),
        ),
        Group(
            name="student",
            time_share={"video": 0.86, "web": 0.06, "gaming": 0.06, "download": 0.01, "xr": 0.01},
            busy_duty={1: 0.50},
            mobility=(0.45, 0.05, 0.50),
        ),
        Group(
            name="tourist",
            time_share={"video": 0.82, "web": 0.17, "download": 0.005, "xr": 0.005},
            busy_duty={1: 0.40},
            mobility=(0.85, 0.10, 0.05),
        ),
        Group(
            name="machine",
            time_share={"meter": 1.0, "control": 1.0},
            busy_duty={2: 0.50, 3: 1.0 / 60.0},
            mobility=(0.0, 0.05, 0.95),
            keeps_hours=False,
        ),
        Group(
            name="vehicle",
            time_share={"control": 1.0, "video": 0.8, "web": 0.2},
            busy_duty={1: 0.30, 2: 0.50},
            mobility=(0.0, 1.0, 0.0),
        ),
    )
}

PEOPLE = {
    LandUse.RESIDENTIAL: {"resident": 0.60, "student": 0.15, "commuter": 0.13, "office-worker": 0.10, "tourist": 0.02},
    LandUse.OFFICE: {"office-worker": 0.75, "commuter": 0.12, "student": 0.05, "tourist": 0.03, "resident": 0.05},
    LandUse.TRANSPORT: {"commuter": 0.65, "tourist": 0.15, "student": 0.10, "resident": 0.10},
    LandUse.ENTERTAINMENT: {"tourist": 0.35, "resident": 0.30, "student": 0.20, "office-worker": 0.15},
}
"""Who is found where: share of the groups among the broadband users of a land use."""
MACHINES = {2: {"vehicle": 0.5, "machine": 0.5}, 3: {"machine": 1.0}}
"""Share of the groups among the users of the other slice types."""


def groups_of(sst: int, land_use: LandUse) -> dict[str, float]:
    """Return the groups that use a slice type at a place, with their shares."""
    return MACHINES.get(sst, PEOPLE[land_use])


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Every combination of group and slice type that can occur; its place is the profile code of a user.

    Attributes:
        keys: (group, slice/service type) of each profile.
        time_share: ``[num_profiles, num_applications] float64``, rows sum to 1.
        busy_duty: ``[num_profiles] float64``.
        keeps_hours: ``[num_profiles] bool``.
    """

    keys: tuple[tuple[str, int], ...]
    time_share: NDArray[np.float64]
    busy_duty: NDArray[np.float64]
    keeps_hours: NDArray[np.bool_]

    def code(self, group: str, sst: int) -> int:
        """Return the profile of a user.

        Raises:
            ScenarioError: There is no such group, or it has nothing to do in a slice of this type.
        """
        if group not in GROUPS:
            raise ScenarioError(f"there is no group `{group}` of users; known: {', '.join(GROUPS)}")
        # People in a slice for machines act as its machines do; an unknown slice type carries broadband.
        for key in ((group, sst), (next(iter(MACHINES.get(sst, {})), ""), sst), (group, 1)):
            if key in self.keys:
                return self.keys.index(key)
        raise ScenarioError(f"the group `{group}` has nothing to do in a slice with SST `{sst}`; give it one of 2 or 3")


@cache
def profiles() -> Profiles:
    """Return the profiles made of :data:`GROUPS`."""
    keys = tuple((group.name, sst) for group in GROUPS.values() for sst in group.busy_duty)
    share = np.array(
        [
            [GROUPS[name].time_share.get(one.name, 0.0) if one.sst == sst else 0.0 for one in applications()]
            for name, sst in keys
        ]
    )
    return Profiles(
        keys=keys,
        time_share=share / share.sum(axis=1, keepdims=True),
        busy_duty=np.array([GROUPS[name].busy_duty[sst] for name, sst in keys]),
        keeps_hours=np.array([GROUPS[name].keeps_hours for name, _ in keys]),
    )
