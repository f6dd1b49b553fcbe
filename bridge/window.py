"""How many newest-wins messages the other side may have under way: as many as arrive fresh.

Credits bound how much can lie in buffers between two programs. Bounded by count alone, a narrow line is filled with old
figures: sixteen batches of 32 KB are eight seconds on 64 KB/s. So the window follows the age of what arrives: it halves
when a message is late and grows by one when a whole window came in time (additive increase, multiplicative decrease, as
TCP does it for congestion, RFC 5681). At its smallest, one message is under way, and nothing can be fresher than that.
"""

from __future__ import annotations

LATE_S = 0.2
"""Age on arrival above which the window is too large."""

LOT = 8
"""Credits are given back in lots of this many: each is a message, and messages are what costs."""


class CreditWindow:
    """Credits of one channel of one connection, on the receiving side.

    Args:
        most: Credits given at the beginning, and the largest window.

    Attributes:
        size: Messages that may be under way now.
    """

    def __init__(self, most: int) -> None:
        self.size = most
        self._most = most
        self._under_way = most
        self._judged = most

    def arrived(self, age_s: float) -> int:
        """Take note of a message and how old it was; returns how many credits to give now, often none.

        Args:
            age_s: Seconds from sending to arrival; NaN = unknown, taken as fresh.
        """
        self._under_way -= 1
        self._judged -= 1
        if self._judged <= 0 or age_s > LATE_S:
            self._judge(late=age_s > LATE_S)
        owed = self.size - self._under_way
        if owed < min(LOT, (self.size + 1) // 2):
            return 0
        self._under_way += owed
        return owed

    def _judge(self, *, late: bool) -> None:
        if not late:
            self.size = min(self.size + 1, self._most)
        elif self._judged <= 0 or self.size == self._most:
            # Once for all that was under way when it was found too large: those are late for the same reason.
            self.size = max(self.size // 2, 1)
        else:
            return
        self._judged = max(self._under_way, self.size)
