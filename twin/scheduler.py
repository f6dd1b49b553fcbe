"""How a cell's time is shared and how long packets wait: the figures of the model, one place for both kernels.

Proportional fair over large-scale channels with finite demand is equal time with water-filling: what small users
leave goes to the others (:func:`twin.kernels.numpy_share.divide`), inside slice pools (:mod:`twin.slicing`). Delay is
an estimate, not a packet simulation: access, repetitions, waiting for a slot, a processor-sharing queue, transport.
"""

from __future__ import annotations

DAMPING = 0.7
"""Of the fixed point of load and interference."""
KNEE = 0.75
"""Load up to which the crowd gets all it asks for; beyond, its adaptive applications step down smoothly."""

SLOT_MS = 0.5
"""At 30 kHz. A slot is a server: with the share r of slots taken, a packet waits r / (1 - r) of them (M/M/1)."""
ACCESS_MS = 1.6
"""Half a slot to the next one, one slot on the air, and what gNB and UE take to prepare and decode it (N1 of TS 38.214
table 5.3-1 is 10 to 13 symbols)."""
HARQ_ROUND_TRIP_MS = 4.0
HARQ_ATTEMPTS = (0.9, 0.099, 0.001)
"""Share of blocks that need 0, 1, 2 repetitions: one in ten fails at first (the CQI target of TS 38.214), one in a
hundred of these fails combined with its repetition."""
BUFFER_BURSTS = 80.0
"""Room of a user's buffer in bursts; what comes beyond is lost as in an M/M/1/K queue."""
MAX_DELAY_MS = 1000.0

BURST_BIT_BY_SST = {1: 0.1e6, 2: 2_000.0, 3: 1_000.0}
"""Data that arrive together: a web object or video fragment, a control message of 250 bytes, a report of 125."""
BUDGET_MS_BY_SST = {2: 10.0}
"""Delay that a slice allows: 5QI 82 of TS 23.501 table 5.7.4-1 (discrete automation)."""

WEAK_RSRP_DBM = -110.0

CELL_SUMS = (
    "share", "bits", "connected", "active", "rsrp", "sinr", "cqi", "bit_delay", "attempts", "no_signal", "rsrq",
    "weak", "offered_bits", "dropped_bits", "budgeted_bits", "late_bits", "bit_air_delay",
)  # fmt: skip
"""Sums over the users of a cell, per second. Levels in decibel are weighted by connections, delays by bits."""
SLICE_SUMS = (
    "share", "bits", "connected", "active", "bit_delay", "offered_bits", "dropped_bits", "budgeted_bits", "late_bits",
    "bit_air_delay",
)  # fmt: skip
