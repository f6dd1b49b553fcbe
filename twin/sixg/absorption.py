"""Absorption by the air and by rain, as Recommendations ITU-R P.676 and P.838 compute it.

Pure functions of numbers; frequencies in gigahertz and pressures in hectopascals, as the recommendations have them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_OXYGEN = np.array(
    [
        (50.474214, 0.975, 9.651, 6.69, 2.566, 6.85),
        (50.987745, 2.529, 8.653, 7.17, 2.246, 6.8),
        (51.50336, 6.193, 7.709, 7.64, 1.947, 6.729),
        (52.021429, 14.32, 6.819, 8.11, 1.667, 6.64),
        (52.542418, 31.24, 5.983, 8.58, 1.388, 6.526),
        (53.066934, 64.29, 5.201, 9.06, 1.349, 6.206),
        (53.595775, 124.6, 4.474, 9.55, 2.227, 5.085),
        (54.130025, 227.3, 3.8, 9.96, 3.17, 3.75),
        (54.67118, 389.7, 3.182, 10.37, 3.558, 2.654),
        (55.221384, 627.1, 2.618, 10.89, 2.56, 2.952),
        (55.783815, 945.3, 2.109, 11.34, -1.172, 6.135),
        (56.264774, 543.4, 0.014, 17.03, 3.525, -0.978),
        (56.363399, 1331.8, 1.654, 11.89, -2.378, 6.547),
        (56.968211, 1746.6, 1.255, 12.23, -3.545, 6.451),
        (57.612486, 2120.1, 0.91, 12.62, -5.416, 6.056),
        (58.323877, 2363.7, 0.621, 12.95, -1.932, 0.436),
        (58.446588, 1442.1, 0.083, 14.91, 6.768, -1.273),
        (59.164204, 2379.9, 0.387, 13.53, -6.561, 2.309),
        (59.590983, 2090.7, 0.207, 14.08, 6.957, -0.776),
        (60.306056, 2103.4, 0.207, 14.15, -6.395, 0.699),
        (60.434778, 2438, 0.386, 13.39, 6.342, -2.825),
        (61.150562, 2479.5, 0.621, 12.92, 1.014, -0.584),
        (61.800158, 2275.9, 0.91, 12.63, 5.014, -6.619),
        (62.41122, 1915.4, 1.255, 12.17, 3.029, -6.759),
        (62.486253, 1503, 0.083, 15.13, -4.499, 0.844),
        (62.997984, 1490.2, 1.654, 11.74, 1.856, -6.675),
        (63.568526, 1078, 2.108, 11.34, 0.658, -6.139),
        (64.127775, 728.7, 2.617, 10.88, -3.036, -2.895),
        (64.67891, 461.3, 3.181, 10.38, -3.968, -2.59),
        (65.224078, 274, 3.8, 9.96, -3.528, -3.68),
        (65.764779, 153, 4.473, 9.55, -2.548, -5.002),
        (66.302096, 80.4, 5.2, 9.06, -1.66, -6.091),
        (66.836834, 39.8, 5.982, 8.58, -1.68, -6.393),
        (67.369601, 18.56, 6.818, 8.11, -1.956, -6.475),
        (67.900868, 8.172, 7.708, 7.64, -2.216, -6.545),
        (68.431006, 3.397, 8.652, 7.17, -2.492, -6.6),
        (68.960312, 1.334, 9.65, 6.69, -2.773, -6.65),
        (118.750334, 940.3, 0.01, 16.64, -0.439, 0.079),
        (368.498246, 67.4, 0.048, 16.4, 0, 0),
        (424.76302, 637.7, 0.044, 16.4, 0, 0),
        (487.249273, 237.4, 0.049, 16, 0, 0),
        (715.392902, 98.1, 0.145, 16, 0, 0),
        (773.83949, 572.3, 0.141, 16.2, 0, 0),
        (834.145546, 183.1, 0.145, 14.7, 0, 0),
    ]
)  # fmt: skip
"""Lines of oxygen: f0 in GHz, a1, a2, a3, a5, a6 (a4 is 0 for all); P.676-13 table 1."""
_WATER = np.array(
    [
        (22.23508, 0.1079, 2.144, 26.38, 0.76, 5.087, 1),
        (67.80396, 0.0011, 8.732, 28.58, 0.69, 4.93, 0.82),
        (119.99594, 0.0007, 8.353, 29.48, 0.7, 4.78, 0.79),
        (183.310087, 2.273, 0.668, 29.06, 0.77, 5.022, 0.85),
        (321.22563, 0.047, 6.179, 24.04, 0.67, 4.398, 0.54),
        (325.152888, 1.514, 1.541, 28.23, 0.64, 4.893, 0.74),
        (336.227764, 0.001, 9.825, 26.93, 0.69, 4.74, 0.61),
        (380.197353, 11.67, 1.048, 28.11, 0.54, 5.063, 0.89),
        (390.134508, 0.0045, 7.347, 21.52, 0.63, 4.81, 0.55),
        (437.346667, 0.0632, 5.048, 18.45, 0.6, 4.23, 0.48),
        (439.150807, 0.9098, 3.595, 20.07, 0.63, 4.483, 0.52),
        (443.018343, 0.192, 5.048, 15.55, 0.6, 5.083, 0.5),
        (448.001085, 10.41, 1.405, 25.64, 0.66, 5.028, 0.67),
        (470.888999, 0.3254, 3.597, 21.34, 0.66, 4.506, 0.65),
        (474.689092, 1.26, 2.379, 23.2, 0.65, 4.804, 0.64),
        (488.490108, 0.2529, 2.852, 25.86, 0.69, 5.201, 0.72),
        (503.568532, 0.0372, 6.731, 16.12, 0.61, 3.98, 0.43),
        (504.482692, 0.0124, 6.731, 16.12, 0.61, 4.01, 0.45),
        (547.67644, 0.9785, 0.158, 26, 0.7, 4.5, 1),
        (552.02096, 0.184, 0.158, 26, 0.7, 4.5, 1),
        (556.935985, 497, 0.159, 30.86, 0.69, 4.552, 1),
        (620.700807, 5.015, 2.391, 24.38, 0.71, 4.856, 0.68),
        (645.766085, 0.0067, 8.633, 18, 0.6, 4, 0.5),
        (658.00528, 0.2732, 7.816, 32.1, 0.69, 4.14, 1),
        (752.033113, 243.4, 0.396, 30.86, 0.68, 4.352, 0.84),
        (841.051732, 0.0134, 8.177, 15.9, 0.33, 5.76, 0.45),
        (859.965698, 0.1325, 8.055, 30.6, 0.68, 4.09, 0.84),
        (899.303175, 0.0547, 7.914, 29.85, 0.68, 4.53, 0.9),
        (902.611085, 0.0386, 8.429, 28.65, 0.7, 5.1, 0.95),
        (906.205957, 0.1836, 5.11, 24.08, 0.7, 4.7, 0.53),
        (916.171582, 8.4, 1.441, 26.73, 0.7, 5.15, 0.78),
        (923.112692, 0.0079, 10.293, 29, 0.7, 5, 0.8),
        (970.315022, 9.009, 1.919, 25.5, 0.64, 4.94, 0.67),
        (987.926764, 134.6, 0.257, 29.85, 0.68, 4.55, 0.9),
        (1780.0, 17506, 0.952, 196.3, 2, 24.15, 5),
    ]
)  # fmt: skip
"""Lines of water vapour: f0 in GHz, b1..b6; P.676-13 table 2. The last stands for all beyond 1 THz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """The air near the ground.

    Attributes:
        pressure_hpa: Of the dry part.
        temperature_k: Temperature.
        vapour_g_m3: Density of water vapour.
        rain_mm_h: Rain rate, 0 = dry.
    """

    pressure_hpa: float = 1013.25
    temperature_k: float = 288.15
    vapour_g_m3: float = 7.5
    rain_mm_h: float = 0.0


STANDARD_AIR = Air()
"""The mean annual reference at the ground of ITU-R P.835: 15 degrees, 7.5 g of vapour in a cubic metre."""


def dry_air_db_per_km(frequency_ghz: float, air: Air = STANDARD_AIR) -> float:
    """Return what oxygen and pressure-induced nitrogen take, 1..1000 GHz, P.676-13 equations 1, 2a, 3, 5..8."""
    f0, a1, a2, a3, a5, a6 = _OXYGEN.T
    theta, vapour_hpa = _theta_and_vapour(air)
    total_hpa = air.pressure_hpa + vapour_hpa
    width = a3 * 1e-4 * (air.pressure_hpa * theta**0.8 + 1.1 * vapour_hpa * theta)
    width = np.sqrt(width**2 + 2.25e-6)  # Zeeman splitting
    mixing = (a5 + a6 * theta) * 1e-4 * total_hpa * theta**0.8
    strength = a1 * 1e-7 * air.pressure_hpa * theta**3 * np.exp(a2 * (1.0 - theta))
    lines = float((strength * _shape(frequency_ghz, f0, width, mixing)).sum())
    debye = 5.6e-4 * total_hpa * theta**0.8
    continuum = 6.14e-5 / (debye * (1.0 + (frequency_ghz / debye) ** 2))
    continuum += 1.4e-12 * air.pressure_hpa * theta**1.5 / (1.0 + 1.9e-5 * frequency_ghz**1.5)
    return 0.1820 * frequency_ghz * (lines + frequency_ghz * air.pressure_hpa * theta**2 * continuum)


def water_vapour_db_per_km(frequency_ghz: float, air: Air = STANDARD_AIR) -> float:
    """Return what water vapour takes, 1..1000 GHz, P.676-13 equations 1, 2b, 3..6."""
    f0, b1, b2, b3, b4, b5, b6 = _WATER.T
    theta, vapour_hpa = _theta_and_vapour(air)
    width = b3 * 1e-4 * (air.pressure_hpa * theta**b4 + b5 * vapour_hpa * theta**b6)
    width = 0.535 * width + np.sqrt(0.217 * width**2 + 2.1316e-12 * f0**2 / theta)  # Doppler broadening
    strength = b1 * 0.1 * vapour_hpa * theta**3.5 * np.exp(b2 * (1.0 - theta))
    return 0.1820 * frequency_ghz * float((strength * _shape(frequency_ghz, f0, width, np.zeros_like(f0))).sum())


def rain_db_per_km(frequency_ghz: float, rain_mm_h: float) -> float:
    """Return what rain takes on a level path with circular polarisation, P.838-3 equations 1..5, 1..1000 GHz."""
    if rain_mm_h <= 0.0:
        return 0.0
    log_f = math.log10(frequency_ghz)

    def fitted(terms: tuple[tuple[float, float, float], ...], slope: float, offset: float) -> float:
        return sum(a * math.exp(-(((log_f - b) / c) ** 2)) for a, b, c in terms) + slope * log_f + offset

    k_h, k_v = 10.0 ** fitted(*_K_H), 10.0 ** fitted(*_K_V)
    alpha_h, alpha_v = fitted(*_ALPHA_H), fitted(*_ALPHA_V)
    k = (k_h + k_v) / 2.0
    alpha = (k_h * alpha_h + k_v * alpha_v) / (2.0 * k)
    return k * rain_mm_h**alpha


def air_db_per_km(frequency_ghz: float, air: Air = STANDARD_AIR) -> float:
    """Return what the air takes in all: dry part, water vapour and rain."""
    gases = dry_air_db_per_km(frequency_ghz, air) + water_vapour_db_per_km(frequency_ghz, air)
    return gases + rain_db_per_km(frequency_ghz, air.rain_mm_h)


def _theta_and_vapour(air: Air) -> tuple[float, float]:
    """Return 300 / T and the partial pressure of water vapour in hPa (P.676-13 equation 4)."""
    return 300.0 / air.temperature_k, air.vapour_g_m3 * air.temperature_k / 216.7


def _shape(frequency_ghz: float, f0: np.ndarray, width: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """Return the line shape with its mirror image at negative frequency, P.676-13 equation 5."""
    below, above = f0 - frequency_ghz, f0 + frequency_ghz
    near = (width - mixing * below) / (below**2 + width**2)
    return frequency_ghz / f0 * (near + (width - mixing * above) / (above**2 + width**2))


_K_H = (
    ((-5.33980, -0.10008, 1.13098), (-0.35351, 1.26970, 0.45400), (-0.23789, 0.86036, 0.15354),
     (-0.94158, 0.64552, 0.16817)), -0.18961, 0.71147,
)  # fmt: skip
_K_V = (
    ((-3.80595, 0.56934, 0.81061), (-3.44965, -0.22911, 0.51059), (-0.39902, 0.73042, 0.11899),
     (0.50167, 1.07319, 0.27195)), -0.16398, 0.63297,
)  # fmt: skip
_ALPHA_H = (
    ((-0.14318, 1.82442, -0.55187), (0.29591, 0.77564, 0.19822), (0.32177, 0.63773, 0.13164),
     (-5.37610, -0.96230, 1.47828), (16.1721, -3.29980, 3.43990)), 0.67849, -1.95537,
)  # fmt: skip
_ALPHA_V = (
    ((-0.07771, 2.33840, -0.76284), (0.56727, 0.95545, 0.54039), (-0.20238, 1.14520, 0.26809),
     (-48.2991, 0.791669, 0.116226), (48.5833, 0.791459, 0.116479)), -0.053739, 0.83433,
)  # fmt: skip
"""(a, b, c) of each term, slope, offset: P.838-3 tables 1..4."""
