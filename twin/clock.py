"""Simulated seconds and civil time.

``sim_time_s`` counts from the scenario epoch, a civil moment stored in the data folder. Wall time is only for
expiry, deadlines, heartbeats and limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from twin.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class CivilTime:
    """Converts between simulated seconds and civil time of the city.

    Attributes:
        epoch: The moment at which ``sim_time_s`` is 0, aware.
        timezone: IANA name.
    """

    epoch: datetime
    timezone: str

    def at(self, sim_time_s: float) -> datetime:
        """Return the civil moment of a simulated time, in the city's zone."""
        return (self.epoch + timedelta(seconds=sim_time_s)).astimezone(ZoneInfo(self.timezone))

    def rfc3339(self, sim_time_s: float) -> str:
        """Return a simulated time as RFC 3339 with the city's offset, whole milliseconds."""
        return self.at(sim_time_s).isoformat(timespec="milliseconds")

    def sim_time_s(self, moment: datetime) -> float:
        """Return the simulated time of a civil moment; a naive one is in the city's zone."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(self.timezone))
        return (moment.astimezone(UTC) - self.epoch.astimezone(UTC)).total_seconds()

    def parse(self, text: str, *, now_s: float) -> float:
        """Return the simulated time that `text` names: RFC 3339, or relative to now like ``-10m``, ``-2h``, ``now``.

        Raises:
            InvalidInput: Neither form.
        """
        word = text.strip()
        if word == "now":
            return now_s
        if word.startswith("-") and len(word) > 2 and word[-1] in "smhd":
            try:
                moment_s = now_s - float(word[1:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[word[-1]]
            except ValueError:
                moment_s = math.nan
            if math.isfinite(moment_s):
                return moment_s
        try:
            return self.sim_time_s(datetime.fromisoformat(word))
        except (ValueError, OverflowError):  # overflow: year 1 or 9999, pushed over the edge by its offset
            raise InvalidInput(
                f"`{text}` is not a time; write RFC 3339 or a distance from now such as `-10m`"
            ) from None
