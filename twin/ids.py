"""Identifiers: UUID version 7 (RFC 9562 section 5.7), sortable by the wall time of their making."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7() -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
