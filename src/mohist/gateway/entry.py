"""What is entered in the ledger of all that is no call: keys, budgets, the register, rules, findings, releases, and who came to administer.

An entry holds no name of a person and no secret. What was changed in full is a content, sealed under whom it is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from mohist.gateway.call import Principal
from mohist.ledger import Content, Draft, Receipt, Value

if TYPE_CHECKING:
    from mohist.gateway.change import Change
    from mohist.gateway.screen.archive import Release
    from mohist.gateway.screen.note import Noted

Name = Callable[[str, str], str]
"""(sort, name) -> pseudonym."""

KEYS: Final = "keys"
POLICY: Final = "policy"
GUARD: Final = "guard"
ADMIN: Final = "admin"
REGISTER: Final = "register"
_SORTS: Final[Mapping[str, str]] = {"user": "person", "project": "project", "team": "team"}
_OPEN: Final = ("roles", "expires_at_ms", "requests_per_minute", "tokens_per_minute", "grace_ms")
"""Of what is told of a key: what names nobody."""
_LIMITS: Final = ("period", "limit_microusd", "limit_tokens", "allow_unpriced")
_JSON: Final = "application/json"


class Taker(Protocol):
    """What takes entries."""

    def submit(self, draft: Draft) -> Future[Receipt]:
        """See `mohist.ledger.Ledger`; may take its time."""
        ...


def session_stream(name: Name, key_id: str, session_id: str) -> str:
    """A client's session; a key's calls where it names none."""
    return name("session", f"{key_id}/{session_id}") if session_id else f"key:{key_id}"


def change_draft(change: Change, name: Name, *, keep: bool = True) -> Draft:
    """A change of keys, budgets or the register."""
    if change.subject == REGISTER:
        return _register_draft(change, name, keep=keep)
    author = name("person", change.user)
    sort = _SORTS.get(change.subject)
    whom = name(sort, change.name) if sort else change.name
    detail = change.detail
    data: dict[str, Value] = {"action": change.action, "door": change.door, "number": change.number}
    data |= {field: cast("Value", detail[field]) for field in _OPEN if field in detail}
    if change.action == "budget.set":
        data |= {side: _limits(detail[side]) for side in ("before", "after") if detail[side] is not None}
    elif "budgets" in detail:
        data["budgets"] = [_limits(row) for row in detail["budgets"]]
    owner = name("person", str(detail.get("user", ""))) if change.action == "key.create" else ""
    words = json.dumps(detail, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")
    subject = owner or (whom if sort == "person" else author)
    return Draft(
        "key" if change.action.startswith("key.") else "budget",
        KEYS,
        f"key:{change.key_id}" if change.key_id else author or "system:mohist",
        on_behalf_of=author,
        about={change.subject: whom, **({"owner": owner} if owner else {})},
        data=data,
        contents=(Content("change", _JSON, words, subject, keep),),
    )


_SHOWN: Final = ("id", "tool", "versions", "disposition", "effective", "expires")
"""Of an entry of the register: what names nobody. Reasons and owners may; they are in the content."""
MAX_SHOWN: Final = 8
"""Entries of one change whose facts are shown; an entry of the ledger is small, and the content has all."""


def _register_draft(change: Change, name: Name, *, keep: bool) -> Draft:
    detail = change.detail
    author = name("person", change.user)
    made, removed = detail.get("set", ()), detail.get("removed", ())
    data: dict[str, Value] = {"action": change.action, "door": change.door, "number": change.number}
    data |= {"set": [_shown(entry) for entry in made[:MAX_SHOWN]], "removed": list(removed[:MAX_SHOWN])}
    if (more := len(made) + len(removed) - len(made[:MAX_SHOWN]) - len(removed[:MAX_SHOWN])) > 0:
        data["more"] = more
    if settings := detail.get("settings"):
        data["settings"] = {field: settings[field] for field in ("unlisted", "two_persons")}
    if detail.get("proposed_by"):
        data["proposed_by"] = name("person", str(detail["proposed_by"]))
    about = {"entry": change.name} if change.action == "register.change" and change.name else {}
    about |= {"proposal": change.name} if change.action != "register.change" else {}
    about |= {"proposal": str(detail["proposal"])} if "proposal" in detail else {}
    words = json.dumps(detail, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")
    return Draft(
        "register",
        REGISTER,
        f"key:{change.key_id}" if change.key_id else author or "system:mohist",
        on_behalf_of=author,
        about=about,
        data=data,
        contents=(Content("change", _JSON, words, author, keep),),
    )


def _shown(entry: Mapping[str, Any]) -> dict[str, Value]:
    digests = [one["digest"] for one in entry.get("evidence", ()) if "digest" in one]
    return {field: entry[field] for field in _SHOWN if field in entry} | ({"evidence": digests[:5]} if digests else {})


def policy_draft(digest: str, rules: int, default: str, door: str) -> Draft:
    """Which rules for calls are in force from now on; an empty digest: none."""
    return Draft(
        "policy", POLICY, "system:gateway", data={"digest": digest, "rules": rules, "default": default, "door": door}
    )


def finding_draft(noted: Noted, name: Name) -> Draft:
    """One finding of the guard; of the value no more than its keyed digest."""
    data: dict[str, Value] = {
        "direction": noted.direction,
        "mode": noted.mode,
        "action": noted.action,
        "ruling": noted.ruling,
        "released_by": name("person", noted.released),
        "alarm": noted.alarm,
        "detector": noted.detector,
        "rule": noted.rule,
        "class": noted.data_class,
        "confidence_percent": round(noted.confidence * 100),
        "digest": noted.digest,
        "place": noted.place,
        "via": noted.via,
        "model": noted.model,
        "upstream": noted.upstream,
        "self_hosted": noted.self_hosted,
    }
    place = f"{noted.call_id}/{noted.direction}/{noted.action}/{noted.rule}/{noted.digest}/{noted.place}"
    return Draft(
        "finding",
        session_stream(name, noted.key_id, noted.session_id),
        "system:guard",
        on_behalf_of=name("person", noted.user),
        about={"call": noted.call_id},
        data=data,
        # What the database could not take comes again.
        key=f"finding:{place}",
    )


def enter_findings(ledger: Taker, name: Name, noted: Sequence[Noted]) -> None:
    """Enters findings, and waits until they are durable.

    Raises:
        LedgerError: one is not entered.
    """
    for future in [ledger.submit(finding_draft(one, name)) for one in noted]:
        future.result()


def release_draft(release: Release, name: Name, *, keep: bool = True) -> Draft:
    """A value that may pass from now on, or no more."""
    ended = release.ended_at_ms is not None
    person = name("person", release.ended_by if ended else release.user)
    because = release.because.encode("utf-8", "replace")
    data: dict[str, Value] = {
        "action": "release.end" if ended else "release",
        "digest": release.digest,
        "rule": release.rule,
        "until_ms": release.until_ms,
    }
    return Draft(
        "approval",
        GUARD,
        person or "system:mohist",
        about={"release": release.release_id},
        data=data,
        contents=() if ended else (Content("reason", "text/plain", because, person, keep),),
    )


def sign_in_draft(who: Principal, name: Name) -> Draft:
    """Somebody came to administer."""
    return Draft(
        "sign-in",
        ADMIN,
        f"key:{who.key_id}",
        on_behalf_of=name("person", who.user),
        data={"door": "api", "roles": list(who.roles)},
    )


def sign_in_refused_draft(status: int, count: int) -> Draft:
    """So many were refused since this was last entered; the newest with this status."""
    return Draft("sign-in", ADMIN, "key:unknown", data={"door": "api", "refused": count, "status": status})


def _limits(row: Mapping[str, Any]) -> dict[str, Value]:
    return {field: row[field] for field in _LIMITS}
