"""Reconfigurable intelligent surfaces: one more path, from a mast to a wall to a street that the mast cannot see.

The two-hop power of passive elements half a wavelength apart (Tang et al., IEEE Trans. Wireless Commun. 20(1), 2021,
equation 2; Ellingson, IEEE PIMRC 2021)::

    P_r = P_t G_t (lambda / 4 pi d1)^2  G_e(in) |sum of phasors|^2 A^2 G_e(out)  (lambda / 4 pi d2)^2

The sum over N elements is N where the phase profile fits and falls off beside its beam. It carries the curvature of
both waves across the panel, so that a profile made for plane waves loses what it must on users nearer than the
Fraunhofer distance. Both hops are free space and need a free line of sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.radio.path_loss import SPEED_OF_LIGHT_MPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import Position, RisPanel

SPACING_WAVELENGTHS = 0.5
ELEMENT_EXPONENT = 0.57
"""An element half a wavelength square has the gain pi (its area); pi cos^0.57 radiates as much as it takes in
(Ellingson, section II)."""
ELEMENT_GAIN = np.pi
AMPLITUDE = 0.9
"""Of the reflection of one element; measured prototypes (Tang et al., table II)."""
PHASE_BITS = 2
QUANTISATION = float(np.sinc(2.0**-PHASE_BITS) ** 2)
"""Power that is left when phases are rounded, -0.9 dB at 2 bits (Wu and Zhang, IEEE Trans. Commun. 68(3), 2020)."""
MIRROR = 0
"""Index of the flat profile, with which a panel reflects like a sheet of metal."""
MIDDLE, WIDEST_DEG = 128, 60.0
"""Profile 128 reflects straight ahead, 1 and 255 by 60 degrees to the left and to the right of it."""
AIM_M = 80.0
"""Beams meet the street this far away from the foot of the panel."""
STREET_HEIGHT_M = 1.5
REACH_M = 400.0
"""Farther away a panel's light is lost in everything else."""


def beam_azimuth_deg(index: int) -> float:
    """Return where the beam of a profile leaves, in degrees to the right of straight ahead, for indices 1..255."""
    return (index - MIDDLE) * WIDEST_DEG / (255 - MIDDLE)


def profile_towards(off_deg: float) -> int:
    """Return the profile whose beam leaves nearest to an angle to the right of straight ahead."""
    index = MIDDLE + round(off_deg * (255 - MIDDLE) / WIDEST_DEG)
    return min(max(index, 1), 255)


def fraunhofer_m(panel: RisPanel, carrier_hz: float) -> float:
    """Return the distance from which on the panel's waves count as plane: 2 D^2 / lambda, D its diagonal."""
    wavelength_m = SPEED_OF_LIGHT_MPS / carrier_hz
    diagonal_m = SPACING_WAVELENGTHS * wavelength_m * np.hypot(panel.columns, panel.rows)
    return float(2.0 * diagonal_m**2 / wavelength_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Where points lie, as a panel sees them.

    Attributes:
        distance_m: ``[n] float64``.
        right: ``[n] float64`` component of the unit vector along the panel's rows.
        up: ``[n] float64`` component along its columns.
        ahead: ``[n] float64`` component along its normal; not above 0 behind the panel.
    """

    distance_m: NDArray[np.float64]
    right: NDArray[np.float64]
    up: NDArray[np.float64]
    ahead: NDArray[np.float64]


class Surface:
    """One panel on one carrier, lit from one place.

    Args:
        panel: The panel.
        carrier_hz: Carrier that its elements are half a wavelength apart on.
        feed_m: Antenna of the cell that its profiles are made for (east, north, up).
    """

    def __init__(self, panel: RisPanel, *, carrier_hz: float, feed_m: Position) -> None:
        self.panel = panel
        self.wavelength_m = SPEED_OF_LIGHT_MPS / carrier_hz
        facing = np.radians(panel.azimuth_deg)
        self._centre_m = np.array(panel.position_m)
        self._ahead = np.array([np.sin(facing), np.cos(facing)])
        # To the right of someone who looks out of the panel, so that larger indices turn clockwise.
        self._right = np.array([np.cos(facing), -np.sin(facing)])
        self._feed = self.wave(np.array([feed_m]))
        drop_m = panel.position_m[2] - STREET_HEIGHT_M
        self._beam_up = -drop_m / np.hypot(drop_m, AIM_M)
        spacing_m = SPACING_WAVELENGTHS * self.wavelength_m
        self._along_m = _centred(panel.columns) * spacing_m
        self._across_m = _centred(panel.rows) * spacing_m

    def wave(self, position_m: NDArray[np.floating]) -> Wave:
        """Return ``[n, 3]`` points in the frame of the panel."""
        east, north, up = (position_m - self._centre_m).astype(np.float64).T
        distance = np.maximum(np.sqrt(east * east + north * north + up * up), 1.0)
        east, north = east / distance, north / distance
        return Wave(
            distance_m=distance,
            right=east * self._right[0] + north * self._right[1],
            up=up / distance,
            ahead=east * self._ahead[0] + north * self._ahead[1],
        )

    def gain(self, source_m: Position, position_m: NDArray[np.floating], *, index: int) -> NDArray[np.float64]:
        """Return received over transmitted power between isotropic antennas by way of the panel, ``[n] float64``.

        Args:
            source_m: Antenna that transmits.
            position_m: ``[n, 3]`` places that listen.
            index: Phase profile in force, 0..255.
        """
        source, there = self.wave(np.array([source_m])), self.wave(position_m)
        hops = (self.wavelength_m / (4.0 * np.pi)) ** 4 / (source.distance_m * there.distance_m) ** 2
        elements = _element_gain(source.ahead) * _element_gain(there.ahead)
        return hops * elements * AMPLITUDE**2 * self.array_gain(source, there, index=index)

    def array_gain(self, source: Wave, there: Wave, *, index: int) -> NDArray[np.float64]:
        """Return the squared sum of all phasors, ``[n] float64``, at most the square of the number of elements.

        The panel is separable: the sum over both axes is the product of two sums, but for a term in x y that is
        below 0.2 dB beyond the panel's own size.
        """
        right, up = source.right + there.right, source.up + there.up
        bend_right = _bend(source.distance_m, source.right) + _bend(there.distance_m, there.right)
        bend_up = _bend(source.distance_m, source.up) + _bend(there.distance_m, there.up)
        kept = 1.0
        if index != MIRROR:
            feed, turn = self._feed, np.sin(np.radians(beam_azimuth_deg(index)))
            right = right - feed.right - turn * np.sqrt(1.0 - self._beam_up**2)
            up = up - feed.up - self._beam_up
            bend_right = bend_right - _bend(feed.distance_m, feed.right)
            bend_up = bend_up - _bend(feed.distance_m, feed.up)
            kept = QUANTISATION
        wave_number = 2.0 * np.pi / self.wavelength_m
        return (
            kept * _sum(self._along_m, wave_number, right, bend_right) * _sum(self._across_m, wave_number, up, bend_up)
        )


def _centred(count: int) -> NDArray[np.float64]:
    return np.arange(count, dtype=np.float64) - (count - 1) / 2.0


def _element_gain(ahead: NDArray[np.float64]) -> NDArray[np.float64]:
    return ELEMENT_GAIN * np.maximum(ahead, 0.0) ** ELEMENT_EXPONENT


def _bend(distance_m: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the curvature of a wave along one axis of the panel, the second term of its distance."""
    return (1.0 - along**2) / (2.0 * distance_m)


def _sum(
    element_m: NDArray[np.float64], wave_number: float, slope: NDArray[np.float64], bend: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared sum of phasors along one axis, ``[n]``."""
    phase = wave_number * (slope[:, None] * element_m - bend[:, None] * element_m**2)
    return np.cos(phase).sum(axis=1) ** 2 + np.sin(phase).sum(axis=1) ** 2
