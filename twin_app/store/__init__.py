"""Memory of figures: RAM rings and the DuckDB history file (adapter of ``twin.ports.TelemetryStore``)."""

from __future__ import annotations

from twin_app.store.embedded import EmbeddedTelemetryStore

__all__ = ["EmbeddedTelemetryStore"]
