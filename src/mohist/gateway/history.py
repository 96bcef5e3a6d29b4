"""What a call sends, fitted to the account that is to answer it."""

from __future__ import annotations

from dataclasses import replace

from mohist.base import light_dataclass
from mohist.gateway import thinking
from mohist.gateway.call import Dialect
from mohist.gateway.home import Homes
from mohist.gateway.request import Envelope, read_envelope
from mohist.gateway.room import Share
from mohist.gateway.route import Upstream
from mohist.gateway.wire import Headers


@light_dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent, the same for every upstream but for address, key and model name."""

    dialect: Dialect
    path: str
    query: bytes
    headers: Headers
    envelope: Envelope
    session_id: str
    share: Share
    """Counts what is held of its answers."""
    call_id: str = ""
    counts: bool = False
    """Only tokens are counted: there is nothing that could be translated."""
    interpreted: bool = False
    """Translated from the client's dialect."""


class History:
    """The thinking blocks in one call's history and the accounts that signed them.

    What no account is known for is taken for the work of the session's account, or in a session that is new here of the
    one that is tried first. Reads nothing of the body as long as the account stays the same.

    Args:
        outgoing: the call.
        homes: what is known of its session.
        first: account of the upstream that is tried first.
    """

    def __init__(self, outgoing: Outgoing, homes: Homes, first: str) -> None:
        self._outgoing = outgoing
        self._homes = homes
        home = homes.get(outgoing.session_id)
        self._before = home.payer if home else first
        self._signers = home.signers if home else {}
        self._able = outgoing.dialect == "anthropic-messages"
        self._marks: list[bytes] | None = None
        self._bare = False

    def is_foreign(self, upstream: Upstream) -> bool:
        """The history holds blocks of another account than this upstream's."""
        if not self._able or (upstream.payer == self._before and not self._signers):
            return False
        return any(self._signer(mark) != upstream.payer for mark in self._all())

    def fitted(self, upstream: Upstream) -> Outgoing:
        """The call without them."""
        if self._bare:
            return self.bare()
        if not self.is_foreign(upstream):
            return self._outgoing
        return self._without(upstream.payer)

    def is_disowned(self, upstream: Upstream, status: int, body: bytes) -> bool:
        """The upstream says that blocks which it was sent are not its account's."""
        if not self._able or not thinking.is_refused(status, body):
            return False
        return any(self._signer(mark) == upstream.payer for mark in self._all())

    def bare(self) -> Outgoing:
        """The call without any signed block."""
        return self._without(None)

    def lay_bare(self) -> None:
        """The upstream takes the call without any signed block only: they are nobody's from now on."""
        self._bare = True

    def is_changed(self, upstream: Upstream) -> bool:
        """Blocks were left out for this upstream."""
        return self._bare or self.is_foreign(upstream)

    def settle(self, upstream: Upstream) -> None:
        """The upstream answered: the session lives there, and what others signed stays left out there."""
        moved = self._bare or upstream.payer != self._before
        marks = self._all() if moved and self._able else ()
        signer = "" if self._bare else self._before
        if self._bare:
            self._signers.update(dict.fromkeys(marks, signer))
        self._homes.settle(self._outgoing.session_id, upstream.name, upstream.payer, signer, marks)

    def _signer(self, mark: bytes) -> str:
        return self._signers.get(mark, self._before)

    def _all(self) -> list[bytes]:
        if self._marks is None:
            self._marks = thinking.marks(self._outgoing.envelope.body)
        return self._marks

    def _without(self, payer: str | None) -> Outgoing:
        """The call with the blocks of this account only."""
        body = thinking.without(self._outgoing.envelope.body, lambda mark: self._signer(mark) != payer)
        return replace(self._outgoing, envelope=read_envelope(body, self._outgoing.dialect))
