"""What was spoken of before: bounded, forgetting conversations for "it", "that cell", "and yesterday?"."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

MAX_CONVERSATIONS: Final = 1_000
TTL_S: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The last turn of a conversation.

    Attributes:
        tool: The tool that answered, "" when none did.
        arguments: Its arguments, canonical.
        subjects: Entity ids that "it" and "them" mean.
        change_id: The change last spoken of.
    """

    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    subjects: tuple[str, ...] = ()
    change_id: str | None = None


class Conversations:
    """The last turn of each conversation; the least recently used is forgotten first.

    Args:
        clock: Wall seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float], max_conversations: int = MAX_CONVERSATIONS, ttl_s: float = TTL_S
    ) -> None:
        self._clock = clock
        self._max = max_conversations
        self._ttl_s = ttl_s
        self._turns: OrderedDict[str, tuple[float, Turn]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def recall(self, conversation: str) -> Turn:
        """Return the last turn, an empty one when there is none or it is too old."""
        at_s, turn = self._turns.get(conversation, (0.0, Turn()))
        if turn.tool and self._clock() - at_s > self._ttl_s:
            del self._turns[conversation]
            return Turn()
        return turn

    def note(self, conversation: str, turn: Turn) -> None:
        """Remember a turn."""
        self._turns[conversation] = (self._clock(), turn)
        self._turns.move_to_end(conversation)
        while len(self._turns) > self._max:
            self._turns.popitem(last=False)
