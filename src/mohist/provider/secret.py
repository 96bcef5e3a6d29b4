"""A key that does not show itself."""

from __future__ import annotations

from collections.abc import Callable


class Secret:
    """Holds a key, or a way to fetch it; `repr`, `str` and pickling never give it out.

    Args:
        source: the key, or a function that returns it. The function is called at each use, so that a
            key that is renewed on disk or in the environment is the one that is sent.
    """

    __slots__ = ("_source",)

    def __init__(self, source: str | Callable[[], str]) -> None:
        self._source = source

    def reveal(self) -> str:
        """The key itself, without surrounding white space (files end in a newline); empty when there is none."""
        value = self._source if isinstance(self._source, str) else self._source()
        return value.strip()

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret can't be pickled or copied")
