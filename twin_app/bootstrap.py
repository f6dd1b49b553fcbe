"""The one composition root: options and settings in, a running twin out.

Everything that knows which adapter stands behind which port is here and in `twin_app.world_build`. Order of start:
folder lock, scenes one after the other, bridge, scene processes; stop is the reverse.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bridge.server import BridgeServer
from twin.errors import InvalidInput
from twin_app.command_record import RecordedLink
from twin_app.data_folder import MAIN, DataFolder
from twin_app.events import NewsHub
from twin_app.pulse import Pulse
from twin_app.running import Twin
from twin_app.scenarios import ScenarioSpec
from twin_app.scene_list import SceneList, plan_of, plans_at_start
from twin_app.scene_router import SceneRouter
from twin_app.shadow_pool import ShadowPool
from twin_app.world_build import Shared, SharedPlanner, open_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.access import TlsFiles
    from twin_app.access import Door
    from twin_app.command_record import CommandRecord
    from twin_app.serve import UpOptions
    from twin_app.settings import Settings


async def build(
    options: UpOptions,
    settings: Settings,
    *,
    door: Door,
    tls: TlsFiles | None,
    tell: Callable[[str, float], None],
) -> Twin:
    """Return a twin with everything restored from its data folder, not yet listening.

    Raises:
        ScenarioError: A city file is wrong. FolderLocked, FolderMismatch, CorruptStore: The data folder is not ours.
        InvalidInput: The options do not fit together.
    """
    tell("building the city", 0.0)
    folder = DataFolder.lock(settings.data_dir)
    async with contextlib.AsyncExitStack() as undo:  # what was opened is closed again when a later part fails
        undo.callback(folder.close)
        listed = SceneList(folder)
        plans = plans_at_start(
            listed.read(),
            [plan_of(text) for text in options.scenes],
            main_given=bool(options.city or options.area or options.sites or options.scenario),
        )
        if len(plans) > settings.max_scenes:
            raise InvalidInput(
                f"`{len(plans)}` scenes are asked for or recorded, at most `{settings.max_scenes}` may run; remove some"
                " with `twin scenes remove`, or raise TWIN_MAX_SCENES"
            )
        news, router = NewsHub(), SceneRouter()
        records: dict[str, CommandRecord] = {}
        link = RecordedLink(
            lambda: bridge.link,
            records,
            settled=lambda scene_id, result: bridge.command_settled(scene_id, result),  # noqa: PLW0108 - made below
        )
        bridge = BridgeServer(sink=router, host=settings.grpc.host, port=settings.grpc.port, doorkeeper=door, tls=tls)
        bridge.orders = link
        shared = Shared(
            settings=settings,
            door=door,
            folder=folder,
            bridge=bridge,
            router=router,
            records=records,
            link=link,
            news=news,
            planner=SharedPlanner(settings.agent.encoder),
            shadows=ShadowPool(
                workers=settings.shadow.workers,
                memory_mb=settings.shadow.memory_mb,
                idle_s=settings.shadow.idle_s,
                log_path=folder.path / "shadow.log",
            ),
        )
        twin = Twin(shared=shared, tls=tls, listed=listed, pulse=Pulse())
        undo.push_async_callback(twin.close_worlds)
        for plan in plans:
            tell("opening the memory" if len(plans) == 1 else f"opening the scene {plan.id}", 0.0)
            given = _spec_given(options, settings) if plan.id == MAIN and plan.scenario is None else None
            twin.take(await open_world(plan, shared, given=given, with_scene=options.with_scene))
        listed.write(world.plan for world in twin.worlds.values())
        undo.pop_all()
        return twin


def _spec_given(options: UpOptions, settings: Settings) -> ScenarioSpec | None:
    """Return the city of `main` that the command line or the environment describes, None when neither does."""
    given: dict[str, Any] = {
        "city": options.city,
        "area": options.area,
        "sites": options.sites,
        "scenario": options.scenario,
    }
    given = {key: value for key, value in given.items() if value}
    if "seed" in settings.model_fields_set or (given and options.scenario is None):
        given["seed"] = settings.seed
    return ScenarioSpec(**given) if given else None
