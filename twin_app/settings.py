"""Every setting of the running product, in one frozen object.

Read from the environment (prefix ``TWIN_``, nested names joined by two underscores) by whoever composes the
program; nothing keeps a module-level instance. `docs/settings.md` is generated from this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from twin_app.access import Role

PAST_S = {"0": 0, "24h": 86_400, "14d": 14 * 86_400}
"""How much past can be asked for, in seconds."""

Port = Annotated[int, Field(ge=0, le=65535)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(_Part):
    """REST and page."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; any but this machine's own needs TLS and tokens.",
    )
    port: Port = Field(default=8600, description="Port of REST, page and WebSocket bridge; 0 takes a free one.")
    names: tuple[str, ...] = Field(
        default=(),
        description="Host names that clients may use besides those of this machine and of the certificate.",
    )
    origins: tuple[str, ...] = Field(
        default=(),
        description="Pages from elsewhere, such as a WebGL build (https://host), that may open the WebSocket bridge.",
    )
    max_body_bytes: PositiveInt = Field(default=262_144, description="Largest request body; larger ones get 413.")


class GrpcSettings(_Part):
    """The bridge."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; any but this machine's own needs TLS and tokens.",
    )
    port: Port = Field(default=8601, description="Port of the gRPC bridge; 0 takes a free one.")
    command_timeout_s: PositiveFloat = Field(
        default=10.0, description="How long to wait for the final answer to a command."
    )


class TlsSettings(_Part):
    """Encryption of REST, page and bridge. `twin certs dev` makes the files."""

    certificate: Path | None = Field(default=None, description="PEM file with the server's certificate chain.")
    key: Path | None = Field(default=None, description="PEM file with its private key, unencrypted.")
    client_ca: Path | None = Field(
        default=None,
        description="PEM file with an authority; then only clients with a certificate of it come in (mutual TLS).",
    )


class ApprovalSettings(_Part):
    """Who may approve what, and how changes are verified."""

    self: bool = Field(default=True, description="The local user may approve a change that they proposed.")
    expires_s: PositiveFloat = Field(
        default=600.0, description="Wall seconds after which a proposal can no longer be approved."
    )
    verify_s: PositiveFloat = Field(default=20.0, description="Simulated seconds over which the effect is measured.")
    guard_drop: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Roll back when user throughput around the change falls by more than this share.",
    )


class ShadowSettings(_Part):
    """The shadow twin: what a change would do, tried out on copies of the network."""

    enabled: bool = Field(default=True, description="Try proposals out before they can be approved.")
    horizon_s: float = Field(default=60.0, ge=5, le=900, description="Simulated seconds that it looks ahead.")
    seeds: int = Field(
        default=4, ge=1, le=32, description="Runs with and without the change; more narrow the interval."
    )
    workers: int = Field(default=2, ge=1, le=16, description="Processes that it may use, each at low priority.")
    memory_mb: int = Field(default=2048, ge=0, description="What each process may allocate; 0 = no limit.")
    timeout_s: PositiveFloat = Field(default=120.0, description="Longest time for one answer, waiting included.")
    idle_s: PositiveFloat = Field(default=300.0, description="After this long without work a process ends.")


class AgentSettings(_Part):
    """Asking."""

    encoder: Path | None = Field(
        default=None, description="Folder of a MiniLM sentence encoder; empty = the installed package."
    )
    max_question_chars: PositiveInt = Field(default=8_000, description="Longest question.")
    timeout_s: PositiveFloat = Field(default=30.0, description="Longest time for one answer.")


class TokenSettings(_Part):
    """One person or program that may call."""

    name: str
    role: Role
    sha256: str = Field(
        pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 of the token, hexadecimal; the token itself is never stored."
    )


class AccessSettings(_Part):
    """Who may call. Without tokens the caller is the local user with every right (loopback only)."""

    tokens: tuple[TokenSettings, ...] = Field(
        default=(), description="Accepted bearer tokens; any entry makes tokens required."
    )


class Settings(BaseSettings):
    """All settings; see the fields of its parts."""

    model_config = SettingsConfigDict(
        env_prefix="TWIN_", env_nested_delimiter="__", frozen=True, extra="ignore", env_parse_none_str="none"
    )

    data_dir: Path | None = Field(default=None, description="Data folder; empty = the platform's user data folder.")
    seed: int = Field(default=1, ge=0, lt=2**63, description="Seed of the generated city and of everything random.")
    speed: NonNegativeFloat = Field(default=1.0, le=100, description="Simulated seconds per wall second.")
    past: Literal["0", "24h", "14d"] = Field(default="14d", description="How much past a new world is given.")
    kernel: Literal["auto", "numpy", "numba"] = Field(
        default="auto",
        description="What computes the network: numba once it is compiled (auto), plain numpy, or numba at once.",
    )
    max_scenes: PositiveInt = Field(
        default=8, description="Most scenes of one twin; each takes some 200 MB with its headless scene."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Least severe log event shown."
    )
    http: HttpSettings = Field(default_factory=HttpSettings)
    grpc: GrpcSettings = Field(default_factory=GrpcSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    approval: ApprovalSettings = Field(default_factory=ApprovalSettings)
    shadow: ShadowSettings = Field(default_factory=ShadowSettings)
    agent: AgentSettings = Field(default_factory=AgentSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)

    @property
    def past_s(self) -> int:
        """The past in seconds."""
        return PAST_S[self.past]
