"""Reads what a `.proto` file says about each message, field and member, for the comments of generated code."""

from __future__ import annotations

import re

_OPENS = re.compile(r"(message|enum|oneof|service)\s+(\w+)\s*\{(\s*\})?")
_MEMBER = re.compile(r"(?:[\w.<>, ]+\s)?(\w+)\s*=\s*\d+;")


def read_prose(text: str) -> dict[str, str]:
    """Return the comment above each `Message`, `Message.field`, `Enum` and `Enum.MEMBER`, as one line each.

    The files keep one declaration a line (buf format), which is all that this reader needs. Members of a oneof count
    as fields of their message.
    """
    found: dict[str, str] = {}
    scopes: list[str] = []
    comment: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        if opened := _OPENS.match(line):
            word, name, closed_at_once = opened.groups()
            owner = scopes[-1] if word == "oneof" else name
            found[f"{owner}.{name}" if word == "oneof" else name] = " ".join(comment)
            if not closed_at_once:
                scopes.append(owner)
        elif line.startswith("}"):
            scopes.pop()
        elif scopes and (member := _MEMBER.match(line)):
            found[f"{scopes[-1]}.{member.group(1)}"] = " ".join(comment)
        comment = []
    return found
