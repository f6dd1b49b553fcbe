"""Measured demand from files of the Milan grid (Telecom Italia Big Data Challenge), which the user brings along.

Format (Barlacchi et al., "A multi-source dataset of urban life in the city of Milan and the Province of Trentino",
Scientific Data 2:150055, 2015): one line per square, ten minutes and country, tab separated, without a heading::

    square id, begin of the interval (ms since 1970, UTC), country code, SMS in, SMS out, call in, call out, internet

Empty fields mean nothing was counted. Read as a stream, plain or gzipped; only sums by square and bin of the week
are kept.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import LandUse
from twin.errors import ScenarioError
from twin.traffic.curves import BIN_S, BINS, WEEK_S, WeekCurves
from twin_app.scenarios.rawmap import spot
from twin_app.scenarios.xmlstream import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

GRID_SQUARES = 10_000
"""Squares of the Milan grid, 1..10,000, 235 m wide."""
_FIELDS = 8
_INTERNET = 7
_MIN_BINS = 144
"""A curve needs a day of bins at least; missing weekdays are filled from the others."""


class MilanGrid:
    """Internet activity by square and bin of the week.

    Attributes:
        square: ``[num_squares] int64`` ids that occur, ascending.
        week: ``[num_squares, 1008] float64`` mean activity per bin, Monday 00:00 local time first; NaN = not measured.
    """

    def __init__(self, square: NDArray[np.int64], week: NDArray[np.float64]) -> None:
        self.square, self.week = square, week

    def curves(self, squares: Mapping[LandUse, Sequence[int]]) -> WeekCurves:
        """Return a curve per land use from the squares named for it, and the flat one for machines.

        Each is a share of its own busiest ten minutes. A land use without squares takes the mean of all squares.

        Raises:
            ScenarioError: A square was not measured, or too little of it.
        """
        rows = [self.profile(squares[use]) if squares.get(use) else self.profile(self.square) for use in LandUse]
        return WeekCurves(np.stack([*rows, np.ones(BINS)]).astype(np.float32))

    def profile(self, squares: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the common curve of some squares, ``[1008] float64``, 1 in its busiest bin.

        Raises:
            ScenarioError: A square was not measured, or less than a day of it.
        """
        rows = []
        for square in squares:
            found = np.flatnonzero(self.square == square)
            if not len(found):
                raise ScenarioError(f"the Milan files hold nothing of square `{square}`; they hold {self._held()}")
            rows.append(int(found[0]))
        week = self.week[rows]
        measured = np.isfinite(week).any(axis=0)
        total = np.where(measured, np.nansum(week, axis=0), np.nan)
        if measured.sum() < _MIN_BINS or not np.nansum(total) > 0.0:
            raise ScenarioError(
                f"the Milan files hold `{int(measured.sum())}` bins of ten minutes of the squares asked for;"
                f" a curve takes {_MIN_BINS} or more with some activity: give the files of whole days"
            )
        return _filled(total) / np.nanmax(total)

    def _held(self) -> str:
        return f"{len(self.square)} squares from `{self.square[0]}` to `{self.square[-1]}`"


def _filled(week: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a week in which bins without a measurement take the mean of the other days at that time of day."""
    days = week.reshape(7, -1)
    count = np.isfinite(days).sum(axis=0)
    mean = np.nansum(days, axis=0) / np.maximum(count, 1)
    known = np.flatnonzero(count)
    mean = np.interp(np.arange(len(mean)), known, mean[known], period=len(mean))
    return np.where(np.isfinite(days), days, mean).ravel()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line.

    Raises:
        ScenarioError: The file cannot be read or is no text.
    """
    rest, number = b"", 0
    for block in chunks(path):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            number += 1
            yield number, _text(path, number, line)
    if rest:
        yield number + 1, _text(path, number + 1, rest)


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("ascii").rstrip("\r")
    except UnicodeDecodeError as exc:
        raise ScenarioError(f"{spot(path, number)}: this is no text of the Milan grid, but binary or foreign") from exc


def read_milan(paths: Sequence[Path], *, timezone: str = "Europe/Rome") -> MilanGrid:
    """Return the activity of all squares in some files, by bin of the week.

    Args:
        paths: Daily files, in any order; several weeks are averaged.
        timezone: IANA name of the zone whose weeks are meant.

    Raises:
        ScenarioError: A file cannot be read or a line is wrong; names file and line.
    """
    zone = zoneinfo.ZoneInfo(timezone)
    total = np.zeros((GRID_SQUARES + 1, BINS))
    seen: dict[int, set[int]] = {}
    bins: dict[int, int] = {}
    for path in paths:
        for number, line in _lines(path):
            if not line:
                continue
            square, moment_ms, internet = _row(path, number, line)
            if moment_ms not in bins:
                bins[moment_ms] = _bin(path, number, moment_ms, zone)
            place = bins[moment_ms]
            seen.setdefault(place, set()).add(moment_ms)
            total[square, place] += internet
    if not seen:
        names = ", ".join(f"`{path}`" for path in paths)
        raise ScenarioError(f"no line in {names or 'no file at all'}; give daily files of the Milan grid")
    weeks = np.array([len(seen.get(place, ())) for place in range(BINS)], dtype=np.float64)
    weeks[weeks == 0.0] = np.nan
    square = np.flatnonzero(total.any(axis=1))
    return MilanGrid(square, total[square] / weeks)


def _row(path: Path, number: int, line: str) -> tuple[int, int, float]:
    """Return (square, begin in ms, internet activity) of one line."""
    fields = line.split("\t")
    # Trailing empty fields are cut off in some copies of the files.
    if not 3 <= len(fields) <= _FIELDS:
        raise ScenarioError(
            f"{spot(path, number)}: `{len(fields)}` fields; a line has {_FIELDS}, tab separated:"
            " square, time, country, SMS in, SMS out, call in, call out, internet"
        )
    try:
        square, moment_ms = int(fields[0]), int(fields[1])
    except ValueError as exc:
        raise ScenarioError(
            f"{spot(path, number)}: square and time must be whole numbers, not `{fields[0][:40]}` and"
            f" `{fields[1][:40]}`"
        ) from exc
    if not 1 <= square <= GRID_SQUARES:
        raise ScenarioError(f"{spot(path, number)}: square `{square}` is not on the grid of 1 to {GRID_SQUARES}")
    text = fields[_INTERNET] if len(fields) == _FIELDS else ""
    try:
        internet = float(text) if text else 0.0
    except ValueError as exc:
        raise ScenarioError(f"{spot(path, number)}: internet must be a number, not `{text[:40]}`") from exc
    if not 0.0 <= internet < np.inf:
        raise ScenarioError(f"{spot(path, number)}: internet is `{text}`; activity is 0 or more")
    return square, moment_ms, internet


def _bin(path: Path, number: int, moment_ms: int, zone: zoneinfo.ZoneInfo) -> int:
    try:
        moment = datetime.fromtimestamp(moment_ms / 1e3, tz=UTC).astimezone(zone)
    except (OverflowError, ValueError, OSError) as exc:
        raise ScenarioError(f"{spot(path, number)}: `{moment_ms}` is no time in milliseconds since 1970") from exc
    second = moment.weekday() * 86_400 + moment.hour * 3600 + moment.minute * 60
    return second // BIN_S % (WEEK_S // BIN_S)
