"""The KPI table as data: name, unit, range, direction, source.

Names are those of 3GPP TS 28.552 / TS 28.554, the O-RAN SC ``RF.*`` form for UE reports, and vendor
extensions ``vsData6g*``. One place: the wire, store, detector, agent and page all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twin.entities import Kind
from twin.errors import UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One figure that can be measured.

    Attributes:
        name: 3GPP name, as on the wire.
        label: Plain words for people.
        unit: Unit symbol, "" for a pure number.
        kinds: Which entities have it.
        low: Smallest possible value.
        high: Largest possible value.
        good: Which direction is good for the user ("up", "down" or "none").
        reduce: How several entities or periods combine: arithmetic mean or sum.
        in_past: False when the coarse history cannot agree with the live model.
        watched: True when the detector looks at it.
        decimals: Digits after the point in answers.
        words: Other words people use, for linking.
        source: Where name and meaning come from.
    """

    name: str
    label: str
    unit: str
    kinds: tuple[Kind, ...]
    low: float
    high: float
    good: Literal["up", "down", "none"]
    reduce: Literal["mean", "sum"]
    source: str
    in_past: bool = True
    watched: bool = False
    decimals: int = 1
    words: tuple[str, ...] = ()


_CELL = (Kind.CELL,)
_CELL_SLICE = (Kind.CELL, Kind.SLICE)

KPIS: tuple[Kpi, ...] = (
    Kpi(
        name="DRB.UEThpDl",
        label="downlink UE throughput",
        unit="kbit/s",
        kinds=(Kind.CELL, Kind.SLICE, Kind.UE),
        low=0,
        high=1e7,
        good="up",
        reduce="mean",
        watched=True,
        decimals=0,
        words=(
            "throughput",
            "speed",
            "data rate",
            "user throughput",
            "download speed",
            "downlink throughput",
            "bitrate",
        ),
        source="TS 28.552 5.1.1.3.1",
    ),
    Kpi(
        name="RRU.PrbTotDl",
        label="downlink PRB load",
        unit="%",
        kinds=_CELL_SLICE,
        low=0,
        high=100,
        good="down",
        reduce="mean",
        watched=True,
        words=(
            "load",
            "prb load",
            "prb usage",
            "utilisation",
            "utilization",
            "prb utilisation",
            "resource usage",
            "busy",
        ),
        source="TS 28.552 5.1.1.2.1",
    ),
    Kpi(
        name="DRB.PdcpSduVolumeDL",
        label="downlink volume",
        unit="Mbit",
        kinds=_CELL_SLICE,
        low=0,
        high=1e9,
        good="none",
        reduce="sum",
        words=("volume", "traffic", "traffic volume", "data volume", "downloaded data"),
        source="TS 28.552 5.1.2.1.1",
    ),
    Kpi(
        name="RRC.ConnMean",
        label="mean RRC connections",
        unit="",
        kinds=_CELL_SLICE,
        low=0,
        high=1e5,
        good="none",
        reduce="mean",
        watched=True,
        words=("connections", "connected users", "users", "connected ues", "rrc connections", "ues", "people"),
        source="TS 28.552 5.1.1.4.1",
    ),
    Kpi(
        name="DRB.MeanActiveUeDl",
        label="mean active UEs",
        unit="",
        kinds=_CELL_SLICE,
        low=0,
        high=1e5,
        good="none",
        reduce="mean",
        words=("active users", "active ues"),
        source="TS 28.552 5.1.1.23.1",
    ),
    Kpi(
        name="DRB.RlcSduDelayDl",
        label="downlink delay",
        unit="ms",
        kinds=_CELL_SLICE,
        low=0,
        high=1e4,
        good="down",
        reduce="mean",
        watched=True,
        words=("delay", "latency", "lag"),
        source="TS 28.552 5.1.1.1.3 (there in 0.1 ms)",
    ),
    Kpi(
        name="RRC.ConnEstabAtt",
        label="RRC set-up attempts",
        unit="",
        kinds=_CELL,
        low=0,
        high=1e6,
        good="none",
        reduce="sum",
        decimals=0,
        words=("setup attempts", "connection attempts", "rrc attempts"),
        source="TS 28.552 5.1.1.15.1",
    ),
    Kpi(
        name="RRC.ConnEstabSucc",
        label="successful RRC set-ups",
        unit="",
        kinds=_CELL,
        low=0,
        high=1e6,
        good="none",
        reduce="sum",
        decimals=0,
        words=("successful setups", "rrc successes"),
        source="TS 28.552 5.1.1.15.2",
    ),
    Kpi(
        name="vsData6gRrcSetupFailureRate",
        label="RRC set-up failure rate",
        unit="%",
        kinds=_CELL,
        low=0,
        high=100,
        good="down",
        reduce="mean",
        watched=True,
        decimals=2,
        words=("setup failure rate", "rrc failure rate", "access failures", "setup failures", "failure rate"),
        source="vendor extension: 100 (Att - Succ) / Att of TS 28.552 5.1.1.15",
    ),
    Kpi(
        name="vsData6gDrbSetupFailureRate",
        label="DRB set-up failure rate",
        unit="%",
        kinds=_CELL,
        low=0,
        high=100,
        good="down",
        reduce="mean",
        decimals=2,
        words=("bearer failure rate", "drb failure rate", "e-rab failure rate"),
        source="vendor extension: 100 (Att - Succ) / Att of TS 28.552 5.1.1.10 (LTE: E-RAB)",
    ),
    Kpi(
        name="vsData6gMeanSsRsrp",
        label="mean SS-RSRP of served UEs",
        unit="dBm",
        kinds=_CELL,
        low=-156,
        high=-31,
        good="up",
        reduce="mean",
        watched=True,
        words=("rsrp", "signal strength", "signal", "reference signal power", "coverage"),
        source="vendor extension: mean of TS 38.215 5.1.1 over served UEs",
    ),
    Kpi(
        name="vsData6gMeanSsSinr",
        label="mean SS-SINR of served UEs",
        unit="dB",
        kinds=_CELL,
        low=-23,
        high=40,
        good="up",
        reduce="mean",
        watched=True,
        words=("sinr", "snr", "signal quality", "interference", "signal to noise"),
        source="vendor extension: mean of TS 38.215 5.1.5 over served UEs",
    ),
    Kpi(
        name="vsData6gMeanCqi",
        label="mean wideband CQI",
        unit="",
        kinds=_CELL,
        low=0,
        high=15,
        good="up",
        reduce="mean",
        words=("cqi", "channel quality"),
        source="vendor extension: mean of TS 28.552 5.1.1.11.1",
    ),
    Kpi(
        name="MM.HoExeIntraSucc",
        label="successful handovers",
        unit="",
        kinds=_CELL,
        low=0,
        high=1e6,
        good="none",
        reduce="sum",
        in_past=False,
        decimals=0,
        words=("handovers", "handover", "ho successes", "outgoing handovers"),
        source="TS 28.552 5.1.1.6.2.2",
    ),
    Kpi(
        name="PEE.AvgPower",
        label="average power draw",
        unit="W",
        kinds=_CELL,
        low=0,
        high=1e5,
        good="down",
        reduce="mean",
        decimals=0,
        words=("power consumption", "energy", "power draw", "consumption", "energy use"),
        source="TS 28.552 5.1.1.19.2.1",
    ),
    Kpi(
        name="RF.serving.RSRP",
        label="RSRP of the serving cell",
        unit="dBm",
        kinds=(Kind.UE,),
        low=-156,
        high=-31,
        good="up",
        reduce="mean",
        words=("rsrp", "signal strength", "signal"),
        source="O-RAN SC KPM; TS 38.215 5.1.1",
    ),
    Kpi(
        name="RF.serving.RSSINR",
        label="SINR of the serving cell",
        unit="dB",
        kinds=(Kind.UE,),
        low=-23,
        high=40,
        good="up",
        reduce="mean",
        words=("sinr", "snr", "signal quality"),
        source="O-RAN SC KPM; TS 38.215 5.1.5",
    ),
    Kpi(
        name="vsData6gServingCell",
        label="dense index of the serving cell",
        unit="",
        kinds=(Kind.UE,),
        low=-1,
        high=1e7,
        good="none",
        reduce="mean",
        decimals=0,
        source="vendor extension: dense topology index, -1 = none",
    ),
    Kpi(
        name="vsData6gLinkLoad",
        label="link load",
        unit="%",
        kinds=(Kind.LINK,),
        low=0,
        high=1000,
        good="down",
        reduce="mean",
        watched=True,
        words=("link load", "backhaul load", "load", "utilisation", "backhaul utilisation"),
        source="vendor extension: offered / capacity",
    ),
    Kpi(
        name="vsData6gLinkThroughput",
        label="link throughput",
        unit="Mbit/s",
        kinds=(Kind.LINK,),
        low=0,
        high=1e7,
        good="none",
        reduce="mean",
        words=("throughput", "link throughput", "backhaul traffic"),
        source="vendor extension",
    ),
)

_BY_NAME = {kpi.name: kpi for kpi in KPIS}


def kpi(name: str) -> Kpi:
    """Return the table row of a KPI.

    Raises:
        UnknownName: No KPI has this name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownName(f"no KPI is called `{name}`; known: {', '.join(sorted(_BY_NAME))}") from None


def kpis_of(kind: Kind) -> tuple[Kpi, ...]:
    """Return the KPIs that entities of this kind have, in table order."""
    return tuple(row for row in KPIS if kind in row.kinds)
