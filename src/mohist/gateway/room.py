"""How much all calls together may hold in memory."""

from __future__ import annotations

from mohist.gateway.call import Refusal

RETRY_AFTER_S = 2.0


class Room:
    """A number of bytes that calls share.

    Args:
        limit_bytes: of all of them together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def share(self) -> Share:
        """One call's part, empty at first."""
        return Share(self)

    def refusal(self) -> Refusal:
        """What a client is told when there is none left."""
        message = (
            f"The calls under way fill the {self.limit_bytes // (1024 * 1024)} MiB that this gateway holds bodies in; "
            "try again, or stream the answer."
        )
        return Refusal("unavailable", 503, message, RETRY_AFTER_S)


class Share:
    """What one call holds. Must be freed."""

    __slots__ = ("_held_bytes", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self._held_bytes = 0

    def grow(self, size_bytes: int) -> bool:
        """Takes more; False, and nothing taken, when there is not so much left."""
        if self.room.held_bytes + size_bytes > self.room.limit_bytes:
            return False
        self.room.held_bytes += size_bytes
        self._held_bytes += size_bytes
        return True

    def free(self) -> None:
        """Gives all of it back; a second time does nothing."""
        self.room.held_bytes -= self._held_bytes
        self._held_bytes = 0
