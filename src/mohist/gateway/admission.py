"""How many calls run at once, in all and of one key."""

from __future__ import annotations

from mohist.gateway.call import Refusal

RETRY_AFTER_S = 1.0


class Admission:
    """Counts the calls under way.

    Args:
        max_calls: of all keys.
        max_calls_per_key: of one.
    """

    def __init__(self, max_calls: int, max_calls_per_key: int) -> None:
        self._max_calls = max_calls
        self._max_calls_per_key = max_calls_per_key
        self._by_key: dict[str, int] = {}
        self.running = 0

    def enter(self, key_id: str) -> Refusal | None:
        """Counts a call in, unless there are too many; one that was counted in must `leave`."""
        of_key = self._by_key.get(key_id, 0)
        if of_key >= self._max_calls_per_key:
            message = f"Key {key_id} has {of_key} calls under way, the most it may have at once."
            return Refusal("rate", 429, message, RETRY_AFTER_S)
        if self.running >= self._max_calls:
            message = f"This gateway has {self.running} calls under way, the most it takes at once."
            return Refusal("unavailable", 503, message, RETRY_AFTER_S)
        self._by_key[key_id] = of_key + 1
        self.running += 1
        return None

    def leave(self, key_id: str) -> None:
        """Counts a call out."""
        self.running -= 1
        left = self._by_key[key_id] - 1
        if left:
            self._by_key[key_id] = left
        else:
            del self._by_key[key_id]
