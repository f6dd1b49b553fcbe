"""Alarms are journaled before they are seen, and come back after a restart."""

from dataclasses import replace

import pytest

from twin.alarms import Alarm, AlarmEvidence, Severity
from twin.errors import NotFound, StoreUnavailable
from twin.testing import MemoryJournal
from twin_app.alarm_log import JournaledAlarmLog

EVIDENCE = AlarmEvidence(kpi="vsData6gMeanSsRsrp", value=-103.0, expected=-87.0, unit="dBm", score=0.8)


class FullJournal(MemoryJournal):
    """A journal whose disk is full."""

    async def append(self, kind: str, facts: object) -> int:
        raise StoreUnavailable(f"no space for {facts} of the kind `{kind}`")


async def _raise(log: JournaledAlarmLog, entity_id: str = "cell-7-2", at_s: float = 10.0, **other: object) -> Alarm:
    fields: dict[str, object] = {
        "entity_id": entity_id,
        "dn": "NRCellDU=2",
        "probable_cause": "degradedSignal",
        "event_type": "communicationsAlarm",
        "severity": Severity.MAJOR,
        "specific_problem": "signal is low",
        "at_s": at_s,
        "evidence": (EVIDENCE,),
        **other,
    }
    return await log.raise_alarm(**fields)  # type: ignore[arg-type]


async def test_a_raised_alarm_is_active_and_survives_a_restart() -> None:
    journal = MemoryJournal()
    log = JournaledAlarmLog(journal, scene_id="city")
    alarm = await _raise(log)
    assert (alarm.id, alarm.scene_id, alarm.active) == ("alarm-1", "city", True)
    again = JournaledAlarmLog(journal, scene_id="city")
    await again.open()
    assert again.active() == (alarm,)


async def test_a_cleared_alarm_is_past() -> None:
    journal = MemoryJournal()
    log = JournaledAlarmLog(journal, scene_id="city")
    alarm = await _raise(log)
    cleared = await log.clear(alarm.id, at_s=99.0)
    assert cleared == replace(alarm, cleared_at_s=99.0)
    assert await log.clear(alarm.id, at_s=120.0) == cleared
    assert log.active() == ()
    assert await log.list(include_cleared=False) == ()
    again = JournaledAlarmLog(journal, scene_id="city")
    await again.open()
    assert await again.list() == (cleared,)
    assert (await _raise(again)).id == "alarm-2"


async def test_raising_a_standing_alarm_brings_it_up_to_date() -> None:
    log = JournaledAlarmLog(MemoryJournal(), scene_id="city")
    first = await _raise(log)
    again = await _raise(log, at_s=20.0, severity=Severity.CRITICAL)
    assert again == replace(first, perceived_severity=Severity.CRITICAL)
    assert log.active() == (again,)


async def test_listeners_hear_what_is_journaled_and_nothing_else() -> None:
    heard: list[Alarm] = []
    log = JournaledAlarmLog(MemoryJournal(), scene_id="city")
    stop = log.subscribe(heard.append)
    alarm = await _raise(log)
    await _raise(log)
    cleared = await log.clear(alarm.id, at_s=30.0)
    stop()
    await _raise(log)
    assert heard == [alarm, cleared]


async def test_an_alarm_that_cannot_be_journaled_is_not_shown() -> None:
    heard: list[Alarm] = []
    log = JournaledAlarmLog(FullJournal(), scene_id="city")
    log.subscribe(heard.append)
    with pytest.raises(StoreUnavailable):
        await _raise(log)
    assert log.active() == ()
    assert heard == []


async def test_lists_are_newest_first_and_filtered() -> None:
    log = JournaledAlarmLog(MemoryJournal(), scene_id="city")
    old = await _raise(log, "cell-1-1", 10.0)
    await log.clear(old.id, at_s=20.0)
    await _raise(log, "cell-2-1", 30.0)
    await _raise(log, "cell-3-1", 40.0)
    assert [a.entity_id for a in await log.list()] == ["cell-3-1", "cell-2-1", "cell-1-1"]
    assert [a.entity_id for a in await log.list(since_s=25.0)] == ["cell-3-1", "cell-2-1"]
    assert [a.entity_id for a in await log.list(entity_id="cell-1-1")] == ["cell-1-1"]
    assert [a.entity_id for a in await log.list(limit=1)] == ["cell-3-1"]


async def test_an_unknown_alarm_is_named() -> None:
    with pytest.raises(NotFound, match="alarm-9"):
        await JournaledAlarmLog(MemoryJournal(), scene_id="city").clear("alarm-9", at_s=0.0)


async def test_only_so_many_past_alarms_stay_in_ram() -> None:
    log = JournaledAlarmLog(MemoryJournal(), scene_id="city", max_past=3)
    for at_s in range(10):
        alarm = await _raise(log, at_s=float(at_s))
        await log.clear(alarm.id, at_s=at_s + 0.5)
    assert [a.id for a in await log.list()] == ["alarm-10", "alarm-9", "alarm-8"]
