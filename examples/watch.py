"""Watch a twin: what moves, what is measured, what goes wrong, who is told to do what.

Start one with `twin up`, then: python examples/watch.py [HOST:PORT or ws://HOST:PORT/bridge]
"""

import asyncio
import os
import sys

from bridge.news import Event, Figures
from bridge.observer import ObserverClient
from twin.alarms import Alarm
from twin.commands import CommandResult


async def main(url: str) -> None:
    """Print news until interrupted."""
    channels = ("TELEMETRY", "ALARMS", "COMMANDS", "EVENTS")
    token = os.environ.get("TWIN_TOKEN", "")
    async with ObserverClient(url, channels=channels, max_rate_hz=1, token=token) as observer:
        print(f"{observer.scene_id}: {len(observer.topology)} entities, revision {observer.topology.revision}")
        async for news in observer:
            match news:
                case Figures(batch=batch, age_s=age_s):
                    what = ", ".join(batch.kpis) or "positions"
                    when = observer.start.civil.rfc3339(batch.sim_time_s)
                    print(f"{when} {batch.entity_index.size} entities, {age_s * 1000:.0f} ms old: {what}")
                case Alarm():
                    state = "over" if news.cleared_at_s is not None else news.perceived_severity.value
                    print(f"alarm {state} at {news.entity_id}: {news.specific_problem}")
                case CommandResult():
                    print(f"command {news.command_id}: {news.stage.value} {news.reason}")
                case Event():
                    print(f"event {news.name}: {dict(news.facts)}")
                case _:
                    pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8601"))
