"""Takes a secret out of what comes back, should the other side repeat it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mohist.sandbox.fence.credential import Credential


class Scrub:
    """Puts sentinels back in place of secrets, over chunks that may cut one in two.

    Holds back only an end that could be the beginning of a secret, so that a stream of events is not delayed.
    """

    def __init__(self, credentials: Sequence[Credential]) -> None:
        self._pairs = [(each.secret.encode(), each.sentinel.encode()) for each in credentials if each.secret]
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on."""
        data = self._held + chunk
        for secret, sentinel in self._pairs:
            data = data.replace(secret, sentinel)
        keep = max((self._start(data, secret) for secret, _ in self._pairs), default=0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def end(self) -> bytes:
        """What was held back."""
        rest, self._held = self._held, b""
        return rest

    @staticmethod
    def _start(data: bytes, secret: bytes) -> int:
        """How many bytes at the end of `data` begin `secret`."""
        for length in range(min(len(secret) - 1, len(data)), 0, -1):
            if data.endswith(secret[:length]):
                return length
        return 0
