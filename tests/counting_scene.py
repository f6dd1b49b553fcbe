"""A scene that counts what it is told, for the kill test: ``python counting_scene.py FOLDER`` reads ids from stdin.

Its state is a list of the commands that it obeyed, kept in memory, in a ledger, and now and then in a checkpoint that
is taken at any moment. It prints each final answer, with the count that the command made.
"""

import asyncio
import json
import random
import sys
import threading
from pathlib import Path

from bridge.ledger import FileLedger
from bridge.orders import Orders, Present
from bridge.v1 import command_pb2
from twin.commands import Command, CommandResult, CommandStage


async def nothing() -> None:
    """There is always room for answers here."""


async def main(folder: Path) -> None:
    file = folder / "checkpoint.json"
    saved = json.loads(file.read_text()) if file.exists() else {"ordinal": 0, "counted": []}
    with FileLedger(folder / "ledger") as ledger:
        counted: list[str] = list(saved["counted"])
        counted += [
            entry.command.id
            for entry in ledger.after(saved["ordinal"])
            if entry.result.stage is CommandStage.APPLIED and entry.command.id not in saved["counted"]
        ]

        def obey(command: Command) -> CommandResult:
            counted.append(command.id)
            return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, sim_time_s=float(len(counted)))

        def answer(result: CommandResult) -> None:
            if result.stage is not CommandStage.RECEIVED:
                print(result.stage.value, result.command_id, int(result.sim_time_s), flush=True)

        async def keep_checkpoints() -> None:
            while True:
                await asyncio.sleep(random.uniform(0, 0.01))
                ordinal, state = ledger.ordinal, list(counted)
                text = json.dumps({"ordinal": ordinal, "counted": state})
                await asyncio.to_thread(file.with_suffix(".new").write_text, text)
                file.with_suffix(".new").replace(file)
                if random.random() < 0.2:
                    await ledger.forget_before(ordinal)

        results = [
            CommandResult(command_id=one, stage=CommandStage.APPLIED, sim_time_s=float(place))
            for place, one in enumerate(saved["counted"], start=1)
        ]
        orders = Orders(
            present=Present(
                revision=lambda: 0,
                fencing_number=lambda: 0,
                sim_time_s=lambda: 0.0,
                answer=answer,
                answerable=nothing,
                kept=lambda _: None,
            ),
            on_command=obey,
            ledger=ledger,
            results=results,
            scene_id="main",
        )
        loop = asyncio.get_running_loop()

        def take(command_id: str) -> None:
            command = command_pb2.Command(id=command_id)
            command.set_attributes.SetInParent()
            orders.take_command(command)

        def listen() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(take, line.strip())

        threading.Thread(target=listen, daemon=True).start()
        print("ready", flush=True)
        await asyncio.gather(orders.work_off(), keep_checkpoints())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
