"""A client as the desks of the bridge see it, with a real outbox that the test reads."""

from dataclasses import dataclass, field

from bridge import codec
from bridge.outbox import Outbox
from bridge.v1 import bridge_pb2, media_pb2, session_pb2
from twin.ports import SceneInfo


@dataclass
class Somebody:
    """Implements `bridge.peers.Peer`."""

    info: SceneInfo
    is_scene: bool = False
    subscription: session_pb2.Subscribe = field(default_factory=session_pb2.Subscribe)
    outbox: Outbox = field(
        default_factory=lambda: Outbox(response=True, limit=1_000, limit_bytes=100_000_000),
    )

    def told(self) -> list[bridge_pb2.ConnectResponse]:
        """Return what it would be sent now, in order."""
        heard = []
        while (envelope := self.outbox._pick()) is not None:
            heard.append(codec.decode_response(envelope))
        return heard

    def bodies(self, kind: str) -> list[bridge_pb2.ConnectResponse]:
        return [response for response in self.told() if response.WhichOneof("body") == kind]


def somebody(
    session_id: str = "s-1",
    *,
    scene_id: str = "main",
    engine: str = "test",
    channels: tuple[int, ...] = (),
    is_scene: bool = False,
    provides: tuple[str, ...] = (),
    camera_codecs: tuple[str, ...] = (),
) -> Somebody:
    info = SceneInfo(
        scene_id=scene_id,
        session_id=session_id,
        engine=engine,
        engine_version="",
        provides=frozenset(provides),
        epoch=1,
        camera_codecs=camera_codecs,
    )
    peer = Somebody(info=info, is_scene=is_scene)
    peer.subscription.channels.extend(channels)
    return peer


def shadow(message: bridge_pb2.ConnectRequest) -> bridge_pb2.ConnectRequest:
    """Return what a session reads when a client sent this message of the published contract."""
    return codec.decode_request(message.SerializeToString())


def parts(
    data: bytes,
    *,
    part_bytes: int = 256 * 1024,
    request_id: str = "",
    camera_id: str = "",
    image_codec: int = media_pb2.IMAGE_CODEC_RAW_RGB,
    width: int = 0,
    height: int = 0,
    **rest: object,
) -> list[bridge_pb2.ConnectRequest]:
    """Cut a picture as a scene would; a raw picture is one row high unless told otherwise."""
    if image_codec == media_pb2.IMAGE_CODEC_RAW_RGB and not width:
        width, height = len(data) // 3, 1
    made = []
    for offset in range(0, len(data), part_bytes):
        frame = media_pb2.CameraFrame(
            request_id=request_id,
            camera_id=camera_id,
            codec=image_codec,  # type: ignore[arg-type]
            width=width,
            height=height,
            offset=offset,
            data=data[offset : offset + part_bytes],
            last=offset + part_bytes >= len(data),
            total_bytes=len(data),
            **rest,  # type: ignore[arg-type]
        )
        made.append(bridge_pb2.ConnectRequest(camera_frame=frame))
    return made
