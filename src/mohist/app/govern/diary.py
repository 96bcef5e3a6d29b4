"""What of a governed run is entered in the ledger: that it began and under what, what it was refused, and how it ended.

Entries name no person and no host: which host was asked for is a content, since a name can be made to hold anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mohist.app.user import user_name
from mohist.ledger import Content, Draft, Receipt, Value
from mohist.sandbox.fence import Attempt

if TYPE_CHECKING:
    from mohist.app.evidence import Evidence

_JSON = "application/json"
_ENTERED_S = 30.0
"""The ledger answers in milliseconds, or says that it can't."""


@dataclass(frozen=True, slots=True)
class Diary:
    """Enters one run, in a stream of its own.

    Args:
        evidence: the ledger; None: nothing is entered.
        run_id: of the run; the id of its key in the gateway, too.
        project: what usage says of it.
    """

    evidence: Evidence | None
    run_id: str
    project: str
    _pending: list[Future[Receipt]] = field(default_factory=list)
    """Refusals on their way into the ledger."""

    @property
    def stream(self) -> str:
        """Where its entries are: `mohist ledger show --stream …`."""
        return f"govern:{self.run_id}"

    def begin(self, data: Mapping[str, Value], command: list[str]) -> None:
        """Enters that a client is about to start. Blocks; nothing may start where it raises.

        Raises:
            LedgerError: it can't be entered.
        """
        if self.evidence is not None:
            words = json.dumps(command, ensure_ascii=False).encode("utf-8", "replace")
            self.evidence.append(self._draft("run.open", data, "begin", "command", words))

    def refused(self, attempt: Attempt) -> None:
        """Enters the first refusal of its kind; does not wait for it: how many could not be entered, the end says."""
        if self.evidence is None:
            return
        asked = attempt.asked
        data: dict[str, Value] = {"verdict": "deny", "what": "network", "code": attempt.code, "carrier": asked.carrier}
        data["port"] = asked.port
        place = f"{asked.host}:{asked.port}:{attempt.code}"
        name = hashlib.sha256(place.encode("utf-8", "replace")).hexdigest()[:16]
        words = json.dumps({"host": asked.host, "reason": attempt.reason}, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
        self._pending.append(self.evidence.submit(self._draft("verdict", data, f"refused/{name}", "asked", words)))

    def verdict(self, verdict: str, data: Mapping[str, Value], reason: str) -> None:
        """Enters what the register said of the client, before it starts or is refused. Blocks.

        Raises:
            LedgerError: it can't be entered.
        """
        if self.evidence is not None:
            said: dict[str, Value] = {"verdict": verdict, "what": "register", **data}
            self.evidence.append(self._draft("verdict", said, "register", "reason", reason.encode("utf-8", "replace")))
            if verdict == "deny":
                self._close()

    def end(self, data: Mapping[str, Value], report: Mapping[str, Any]) -> None:
        """Enters how it ended, and closes its stream. Blocks.

        Raises:
            LedgerError: it can't be entered.
        """
        if self.evidence is not None:
            words = json.dumps(report, ensure_ascii=False).encode("utf-8", "replace")
            if lost := sum(map(_is_lost, self._pending)):
                data = {**data, "refusals_not_entered": lost}
            self.evidence.append(self._draft("run.close", data, "end", "report", words))
            self._close()

    def _close(self) -> None:
        assert self.evidence is not None
        self.evidence.append(Draft("stream.close", self.stream, "system:govern", key=f"{self.stream}/closed"))

    def _draft(self, kind: Any, data: Mapping[str, Value], key: str, name: str, words: bytes) -> Draft:
        assert self.evidence is not None
        person = self.evidence.name("person", user_name())
        about = {"run": self.run_id}
        if self.project:
            about["project"] = self.evidence.name("project", self.project)
        return Draft(
            kind,
            self.stream,
            "system:govern",
            on_behalf_of=person,
            about=about,
            data=data,
            contents=(Content(name, _JSON, words, person, self.evidence.settings.keep_contents),),
            key=f"{self.stream}/{key}",
        )


def _is_lost(entered: Future[Receipt]) -> bool:
    try:
        return entered.exception(_ENTERED_S) is not None
    except TimeoutError:
        return True
