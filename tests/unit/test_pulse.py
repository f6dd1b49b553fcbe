"""How the loop feels, how fast each scene's time runs, and whose news are whose."""

import asyncio
import time

import pytest

from twin_app.events import NewsHub
from twin_app.pulse import Pulse, SpeedMeter


async def test_every_scene_has_a_speed_of_its_own() -> None:
    began = time.monotonic()
    fast = SpeedMeter(lambda: 3 * (time.monotonic() - began))
    away = SpeedMeter(lambda: None)
    pulse = Pulse()
    pulse.meters += [fast, away]
    beating = asyncio.create_task(pulse.run())
    await asyncio.sleep(1.3)
    beating.cancel()
    speed = fast.speed()
    fast.forget()

    assert speed == pytest.approx(3.0, rel=0.1)
    assert (None, None) == (away.speed(), fast.speed())
    assert len(pulse.lags_s) > 5
    assert pulse.lag_ms(0.5) <= pulse.lag_ms(0.99)


def test_a_scene_that_goes_away_has_no_speed_any_more() -> None:
    clock: list[float | None] = [0.0]
    meter = SpeedMeter(lambda: clock[0])
    meter.mark()
    clock[0] = None
    meter.mark()

    assert meter.speed() is None


def test_news_are_of_one_scene_or_of_all() -> None:
    hub = NewsHub()
    with hub.listen() as queue:
        hub.publish("alarm", {"scene_id": "campus"})
        hub.publish("health", {})
        alarm, health = queue.get_nowait(), queue.get_nowait()

    assert (True, False) == (alarm.concerns("campus"), alarm.concerns("harbour"))
    assert (True, True) == (health.concerns("campus"), health.concerns("harbour"))
