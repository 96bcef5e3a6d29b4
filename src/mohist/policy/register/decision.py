"""From a tool and a day to an outcome.

1. Of the entries that speak of the tool, the most specific decide: an exact name before a pattern, then one version before a
   range before every version. An entry that is not in force is passed over; but one that bans or restricts is heard before its
   day, as a warning.
2. Where several are equally specific, the strictest outcome holds.
3. A tool that no entry speaks of is as the settings say.
4. What is allowed until a day is refused from that day on: an approval that ran out is none. What is banned until a day is free
   from that day on.

Bans and restrictions are held wide and approvals narrow, see `span`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

from mohist.policy.register.entry import Entry
from mohist.policy.register.tool import Tool

WARN_DAYS: Final = 30
"""So long before an approval runs out people are warned."""


@dataclass(frozen=True, slots=True)
class Use:
    """How a tool is used. None: that is not what is asked, and what depends on it is judged where it is known."""

    governed: bool | None = None
    model: str | None = None
    repositories: tuple[str, ...] | None = None
    """What the project is called: `host/owner/name` of its remotes, and its folder. Empty: it can't be told."""


NO_USE: Final = Use()


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds of the register as a whole."""

    unlisted: Literal["allow", "deny"] = "allow"
    """Tools that no entry speaks of."""
    two_persons: bool = False
    """A change is in force once somebody else approves it."""
    ask: str = ""
    """The first step for who needs a tool that is not listed; empty: a general one."""


@dataclass(frozen=True, slots=True)
class Register:
    """Entries and settings, in force together."""

    entries: tuple[Entry, ...] = ()
    settings: Settings = field(default_factory=Settings)
    origin: str = ""
    """Where they come from, for people."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be used."""

    entry_id: str = ""
    """Empty: no entry speaks of it."""
    note: str = ""
    conditions: tuple[str, ...] = ()
    """What must hold where it is used, in words."""


@dataclass(frozen=True, slots=True)
class Warned:
    """It may be used until a day."""

    entry_id: str
    reason: str
    refused_from: date
    alternative: str
    first_step: str
    conditions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For the person, in one line."""
        said = f"{self.reason} From {self.refused_from.isoformat()} on it is refused."
        return f"{said} {_instead(self.alternative, self.first_step)}".rstrip()


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not be used."""

    entry_id: str
    reason: str
    alternative: str
    first_step: str
    conditions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For the person, in one line."""
        return f"{self.reason} {_instead(self.alternative, self.first_step)}".rstrip()


Outcome: TypeAlias = Allowed | Warned | Refused
_STRICT: Final = {Allowed: 0, Warned: 1, Refused: 2}


def decide(register: Register, tool: Tool, day: date, use: Use = NO_USE) -> Outcome:
    """What the register says of a tool on a day (UTC). Pure; never raises.

    Args:
        register: entries and settings.
        tool: see `tool_named` and `tool_of_client`.
        day: in UTC.
        use: what is known of its use; conditions on what is None are told and not judged.
    """
    heard = [entry for entry in register.entries if _speaks(entry, tool) and _heard(entry, day)]
    if not heard:
        return _unlisted(register, tool, day)
    most = max(entry.specificity for entry in heard)
    return strictest(_outcome(entry, tool, day, use) for entry in heard if entry.specificity == most)


def strictest(outcomes: Iterable[Outcome]) -> Outcome:
    """Of several outcomes the one that lets least pass; the first of equals, with what all of them ask.

    For registers that hold together, such as the machine's and a project's, which can so only tighten.
    """
    found = list(outcomes)
    if not found:
        return Allowed()
    worst = max(_STRICT[type(one)] for one in found)
    equal = [one for one in found if _STRICT[type(one)] == worst]
    first = min(
        (one for one in equal if isinstance(one, Warned)), key=lambda one: one.refused_from, default=_telling(equal)
    )
    asked = tuple(dict.fromkeys(condition for one in equal for condition in one.conditions))
    return replace(first, conditions=asked)


def _telling(equal: Sequence[Outcome]) -> Outcome:
    """The first that an entry stands behind."""
    return next((one for one in equal if one.entry_id), equal[0])


def _speaks(entry: Entry, tool: Tool) -> bool:
    claims = () if entry.disposition == "allowed" else tool.claims
    if any(entry.names(name) for name in (*tool.names, *claims)):
        return entry.span.covers(tool.version, wide=entry.disposition != "allowed")
    return any(entry.names(name) for name in tool.kin) and entry.span.is_any


def _heard(entry: Entry, day: date) -> bool:
    if entry.disposition == "allowed":
        return entry.effective is None or day >= entry.effective
    return not (entry.disposition == "banned" and entry.expires is not None and day >= entry.expires)


def _outcome(entry: Entry, tool: Tool, day: date, use: Use) -> Outcome:
    over = entry.expires is not None and day >= entry.expires
    conditions = entry.conditions.told()
    if over:
        # A ban that is over is not heard at all.
        reason = f"{tool.title} was approved until {entry.expires} and is not any more."
        step = entry.first_step or f"Ask {entry.owner or 'whoever keeps the register'} to have it looked at again."
        return Refused(entry.entry_id, reason, entry.alternative, step, conditions)
    if entry.disposition == "banned":
        return _binding(entry, day, f"{tool.title} is banned: {_sentence(entry.reason)}{_untold(entry, tool)}")
    if unmet := _unmet(entry, use):
        said = f"{tool.title} is restricted: {unmet}. {_sentence(entry.reason)}{_untold(entry, tool)}"
        return _binding(entry, day, said, conditions)
    if entry.expires is not None and day >= entry.expires - timedelta(days=WARN_DAYS):
        step = entry.first_step or f"Ask {entry.owner or 'whoever keeps the register'} to have it looked at again."
        reason = f"{tool.title} is approved until {entry.expires}."
        return Warned(entry.entry_id, reason, entry.expires, entry.alternative, step, conditions)
    return Allowed(entry.entry_id, entry.reason, conditions)


def _binding(entry: Entry, day: date, said: str, conditions: tuple[str, ...] = ()) -> Outcome:
    if entry.effective is not None and day < entry.effective:
        return Warned(entry.entry_id, said, entry.effective, entry.alternative, entry.first_step, conditions)
    return Refused(entry.entry_id, said, entry.alternative, entry.first_step, conditions)


def _unmet(entry: Entry, use: Use) -> str:
    """The first condition that does not hold; empty: those that are judged here hold."""
    conditions = entry.conditions
    if conditions.governed and use.governed is False:
        return "only under mohist govern"
    if conditions.models and use.model is not None and not _any(conditions.models, use.model):
        return f"not with the model {use.model!r}"
    if conditions.not_repositories and use.repositories is not None:
        if not use.repositories:
            return "not on some repositories, and which one this is can't be told"
        for name in use.repositories:
            if _any(conditions.not_repositories, name):
                return f"not on {name}"
    return ""


def _any(globs: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name.lower(), glob.lower()) for glob in globs)


def _unlisted(register: Register, tool: Tool, day: date) -> Outcome:
    if register.settings.unlisted == "allow":
        return Allowed(note="no entry of the register speaks of it")
    fits = [
        entry.tool
        for entry in register.entries
        if entry.disposition != "banned" and _heard(entry, day) and (entry.expires is None or day < entry.expires)
    ]
    known = list(dict.fromkeys(name for name in fits if "*" not in name))
    step = register.settings.ask or "Ask whoever keeps the register to have it examined: mohist vet."
    reason = f"{tool.title} is not in the register, and what is not there is refused."
    return Refused("", reason, ", ".join(known[:5]), step)


def _untold(entry: Entry, tool: Tool) -> str:
    """Why an entry for a range holds of a tool whose version says nothing."""
    if entry.span.is_any or entry.span.is_told(tool.version):
        return ""
    return f" (That is said of the versions {entry.versions}; this one's can't be told.)"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _instead(alternative: str, first_step: str) -> str:
    said = [f"Use instead: {_sentence(alternative)}"] if alternative else []
    said += [f"First step: {_sentence(first_step)}"] if first_step else []
    return " ".join(said)
