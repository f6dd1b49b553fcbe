"""An alarm that an engine raises stands in the list, the graph and the answers of the twin, and outlives its death."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from bridge.v1 import news_pb2
from tests.bridge_peer import grpc_peer
from tests.e2e.running_twin import RunningTwin

Start = Callable[..., RunningTwin]


async def tell(twin: RunningTwin, *, cleared: bool) -> None:
    """Connect as a scene, tell the alarm, and leave once it is acknowledged."""
    async with grpc_peer(f"127.0.0.1:{twin.grpc_port}") as peer:
        await peer.hello()
        await peer.greeted()
        number = await peer.say_lossless(
            alarm=news_pb2.Alarm(
                id="lamp-3",
                entity_id="cell-1-1",
                probable_cause="powerProblem",
                perceived_severity=news_pb2.SEVERITY_MAJOR,
                event_type="equipmentAlarm",
                specific_problem="the lamp is dark",
                raised_at_sim_s=5.0,
                cleared=cleared,
                cleared_at_sim_s=9.0 if cleared else 0.0,
            )
        )
        await peer.acknowledged(number)


def test_an_alarm_of_a_scene_is_an_alarm_of_the_twin(start_twin: Start, tmp_path: Path) -> None:
    twin = start_twin("--past", "0", "--no-scene", data_dir=tmp_path / "data").wait_ready()
    asyncio.run(tell(twin, cleared=False))
    twin.kill()  # what was acknowledged is on the disk

    again = start_twin("--past", "0", "--no-scene", data_dir=tmp_path / "data").wait_ready()
    (standing,) = again.get("/v1/alarms")["items"]
    assert (standing["id"], standing["entity"], standing["specificProblem"]) == (
        "alarm-1",
        "cell-1-1",
        "the lamp is dark",
    )
    assert standing["cleared_at"] is None
    assert "alarm-1" in str(again.ask("Which alarms are active?"))

    asyncio.run(tell(again, cleared=True))
    (over,) = again.get("/v1/alarms")["items"]
    assert (over["id"], over["cleared_at"] is None) == ("alarm-1", False)
