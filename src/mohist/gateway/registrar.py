"""Asks the software register of a call: whether the tool that makes it may be used.

Who calls is what the client says of itself, which any program can say; or what its key was made for, which only who made the key
could say. Where both name a tool and not the same one, both are asked, and the stricter outcome holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import quote

from mohist.gateway.call import Dialect, Principal, Refusal
from mohist.gateway.request import RefusedError
from mohist.gateway.tally import Call
from mohist.policy.register import (
    Outcome,
    Refused,
    Register,
    Tool,
    Use,
    Warned,
    decide,
    strictest,
    tool_named,
    tool_of_client,
)

WARNING_HEADER: Final = b"x-mohist-warning"
"""On answers to a tool that will be refused; UTF-8 in percent encoding where it is not ASCII."""
REFUSED_STATUS: Final[Mapping[Dialect, int]] = {
    "openai-chat": 400,
    "openai-responses": 400,
    "anthropic-messages": 451,
}
"""What clients take as it is meant, tried with the real ones: at 403 Claude Code 2.1.325 says that the login failed and at 400 and 422
it tries six times; Codex 0.169 tries six times at anything but 400."""
RULE: Final = "register."
"""Begins what is written down of a call that an entry warned of or refused; the entry's id follows."""
MAX_REMEMBERED: Final = 4096
_VERSION: Final = re.compile(r"[0-9][!-~]*")
_SAFE: Final = " !#$&'()*+,-./:;<=>?@[]^_`{|}~"
_DAY_MS: Final = 86_400_000


def bound_tool(text: str) -> Tool:
    """The tool of a key: `claude-code@2.1.330`, `npm:@scope/name`."""
    name, _, version = text.rpartition("@")
    if name and _VERSION.fullmatch(version):
        return tool_named(name, version)
    return tool_named(text)


class Registrar:
    """Holds the registers in force; see `take`. Touches memory alone."""

    def __init__(self, registers: Sequence[Register] = ()) -> None:
        self._registers = tuple(registers)
        self._idle = _says_nothing(self._registers)
        self._known: dict[tuple[object, ...], Outcome] = {}
        self.trouble = ""
        """Why the newest register is not in force; empty when it is."""

    @property
    def registers(self) -> tuple[Register, ...]:
        """Those in force; the strictest outcome of all holds."""
        return self._registers

    def take(self, registers: Sequence[Register]) -> None:
        """Puts others in force, from the next call on."""
        self._registers = tuple(registers)
        self._idle = _says_nothing(self._registers)
        self._known = {}
        self.trouble = ""

    def look(self, call: Call, headers: Mapping[bytes, bytes]) -> None:
        """Writes into the call which tool its client says that it is."""
        if not self._idle:
            call.tool = tool_of_client(headers)

    def admit(self, call: Call, who: Principal, model: str) -> None:
        """Lets a call pass, writes a warning into it, or refuses it.

        Raises:
            RefusedError: an entry refuses its tool.
        """
        if call.tool is None:
            return
        day = call.started_at_ms // _DAY_MS
        place = (call.tool, who.tool, who.repository, model, day)
        outcome = self._known.get(place)
        if outcome is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known = {}
            outcome = self._known[place] = self._decide(call, who, model)
        if isinstance(outcome, Refused):
            call.rule = RULE + (outcome.entry_id or "unlisted")
            raise RefusedError(
                Refusal(
                    "policy",
                    REFUSED_STATUS[call.dialect],
                    f"Refused by this company's software register: {outcome.text}",
                )
            )
        if isinstance(outcome, Warned):
            call.rule = RULE + outcome.entry_id
            call.warning = quote(outcome.text, safe=_SAFE).encode("ascii")

    def _decide(self, call: Call, who: Principal, model: str) -> Outcome:
        day = datetime.fromtimestamp(call.started_at_ms / 1000, UTC).date()
        assert call.tool is not None
        if not who.tool:
            return self._of(call.tool, day, Use(governed=False, model=model, repositories=()))
        bound = bound_tool(who.tool)
        use = Use(governed=True, model=model, repositories=tuple(filter(None, who.repository.split("\n"))))
        outcomes = [self._of(bound, day, use)]
        # A library's name in a User-Agent says nothing of which tool uses it.
        if _is_known(call.tool) and not set(_plain(call.tool)) & set(_plain(bound)):
            outcomes.append(self._of(call.tool, day, Use(governed=False, model=model, repositories=())))
        return strictest(outcomes)

    def _of(self, tool: Tool, day: date, use: Use) -> Outcome:
        return strictest(decide(register, tool, day, use) for register in self._registers)


def _says_nothing(registers: Sequence[Register]) -> bool:
    return not any(register.entries or register.settings.unlisted == "deny" for register in registers)


def _plain(tool: Tool) -> list[str]:
    """Its names that are no package's and no client's."""
    return [name for name in tool.names if ":" not in name]


def _is_known(tool: Tool) -> bool:
    return bool(_plain(tool))
