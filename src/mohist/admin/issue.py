"""Making keys and showing keys and budgets, alike for the command line and the admin API."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from mohist.base import Clock, IdSource

if TYPE_CHECKING:
    from mohist.gateway.budget import Budget, Period
    from mohist.gateway.call import Dialect, Role
    from mohist.gateway.key import Key
    from mohist.gateway.store import Store, Token

# Control characters, and those that nobody sees or that turn a line around; alike in Python, Rust and ECMAScript.
_UNSEEN: Final = r"\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
NAME_PATTERN: Final = rf"^[^\s{_UNSEEN}]([^{_UNSEEN}]*[^\s{_UNSEEN}])?$"
"""Of users, projects, teams and globs: any script, spaces within."""
SOUGHT_PATTERN: Final = rf"^[^{_UNSEEN}]*$"
NAME_CHARS: Final = 200
_NAME: Final = re.compile(NAME_PATTERN)
_SECRET_PREFIX: Final = "mhk-"  # noqa: S105 - what all begin with


@dataclass(frozen=True, slots=True)
class Order:
    """What a new key is to be."""

    user: str
    project: str = ""
    team: str = ""
    roles: tuple[Role, ...] = ("caller",)
    models: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    dialects: tuple[Dialect, ...] = ()
    expires_at_ms: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budgets: tuple[tuple[Period, int | None, int | None, bool], ...] = ()
    """Period, microusd, tokens, and whether models without a price pass."""
    tool: str = ""
    """What it is made for, with its version; see `Key.tool`."""
    repository: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A key that was made."""

    key: Key
    secret: str
    """Empty: the request came a second time, and the secret was shown in the first answer."""


def issue(store: Store, order: Order, clock: Clock, ids: IdSource, token: Token | None = None) -> Issued:
    """Makes a key with its budgets.

    Args:
        store: the database.
        order: what it is to be.
        clock: when it is made.
        ids: its id.
        token: makes the request one that may come twice.

    Raises:
        ConflictError: the token was used for another request.
    """
    from mohist.gateway.budget import Budget
    from mohist.gateway.key import Key, new_secret, secret_hash

    key = Key(
        key_id=ids.new("key"),
        user=order.user,
        project=order.project,
        team=order.team,
        models=order.models,
        clients=order.clients,
        dialects=order.dialects,
        created_at_ms=clock.now_ms(),
        expires_at_ms=order.expires_at_ms,
        requests_per_minute=order.requests_per_minute,
        tokens_per_minute=order.tokens_per_minute,
        roles=order.roles,
        tool=order.tool,
        repository=order.repository,
    )
    secret = new_secret()
    budgets = [Budget("key", key.key_id, *limits) for limits in order.budgets]
    before = store.add_key(key, secret_hash(secret), budgets, token)
    return Issued(key, secret) if before is None else Issued(before, "")


def rotate(store: Store, key_id: str, clock: Clock, grace_hours: int) -> Issued:
    """A new secret for a key; StoreError when there is none, or it is revoked."""
    from mohist.gateway.key import new_secret, secret_hash

    secret = new_secret()
    return Issued(store.rotate_key(key_id, secret_hash(secret), clock.now_ms(), grace_hours * 3_600_000), secret)


def name_fault(text: str) -> str:
    """Why `text` is no name of a user, project or team; empty when it is one. Says nothing of the text itself."""
    if text.startswith(_SECRET_PREFIX):
        # It would be kept in the clear.
        return "this is a secret key, not a name; a key is named by its id, key-…"
    whole = len(text) <= NAME_CHARS and _NAME.fullmatch(text) and not re.search(r"[\ud800-\udfff]", text)
    return "" if whole else f"not a name: 1 to {NAME_CHARS} characters, no control characters, no spaces around"


def key_row(key: Key, now_ms: int) -> dict[str, Any]:
    """A key as both show it."""
    return {
        "key_id": key.key_id,
        "status": status_of(key, now_ms),
        "user": key.user,
        "project": key.project,
        "team": key.team,
        "roles": list(key.roles),
        "models": list(key.models),
        "clients": list(key.clients),
        "dialects": list(key.dialects),
        "created_at": moment(key.created_at_ms),
        "expires_at": _if_known(moment, key.expires_at_ms),
        "revoked_at": _if_known(moment, key.revoked_at_ms),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "tool": key.tool,
        "repository": key.repository,
    }


def budget_row(budget: Budget) -> dict[str, Any]:
    """A budget as both show it."""
    return {
        "subject": budget.subject,
        "name": budget.name,
        "period": budget.period,
        "limit_microusd": budget.limit_microusd,
        "limit_tokens": budget.limit_tokens,
        "allow_unpriced": budget.allow_unpriced,
    }


def status_of(key: Key, now_ms: int) -> str:
    """`active`, `expired` or `revoked`."""
    if key.revoked_at_ms is not None:
        return "revoked"
    return "expired" if key.expires_at_ms is not None and key.expires_at_ms <= now_ms else "active"


def moment(at_ms: int) -> str:
    """A moment in words: UTC, to the second."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def roles_of(words: Sequence[Role]) -> tuple[Role, ...]:
    """The roles that were asked for, each once; a key of which nothing is said calls models."""
    return tuple(dict.fromkeys(words)) or ("caller",)


def _if_known(show: Callable[[int], str], at_ms: int | None) -> str | None:
    return None if at_ms is None else show(at_ms)
