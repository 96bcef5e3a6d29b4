"""What can go wrong with an answer on its way into another dialect."""

from __future__ import annotations

from mohist.base import MohistError
from mohist.gateway.translate.form import Broken


class AnswerError(MohistError):
    """An upstream's whole answer is an error, or none at all; `broken` is what the client is told."""

    audience = "operator"

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.message)
        self.broken = broken
