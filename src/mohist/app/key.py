"""The keys of `mohist.toml`: who may say each, the variable that says it, and what holds when nobody does.

Plain data, so that a command whose user says nothing does not pay for the library that checks what is said.
`mohist.app.setting` is the check, and takes its defaults from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from mohist.agent.setting import RunSettings
from mohist.agent.tool import ToolLimits
from mohist.app import ledger_setting, screening

TIGHTEN = "tighten"
"""A project's file may only make it stricter, and does so before it is trusted."""

TRUST = "trust"
"""A project's file is heard only once the project is trusted."""

OWNER = "owner"
"""A project has no say."""

SERVER_KEY_ENV = "MOHIST_SERVER_KEY"
"""Holds the virtual key for the server, where nothing else is said."""

SandboxName = Literal["bubblewrap", "landlock"]
"""What confines, from strong to weak."""


@dataclass(frozen=True, slots=True)
class Key:
    """A top-level key or table."""

    name: str
    guard: str
    """TIGHTEN, TRUST or OWNER."""
    variable: str = ""
    """The environment variable that says it too; empty: none does."""


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        key.name: key
        for key in (
            Key("model", TRUST, "MOHIST_MODEL"),
            Key("mode", TIGHTEN, "MOHIST_MODE"),
            Key("network", TIGHTEN, "MOHIST_NETWORK"),
            # A repository must not open a way out of the sandbox.
            Key("allow_hosts", OWNER),
            Key("allow_private_hosts", OWNER),
            Key("sandbox", TIGHTEN, "MOHIST_SANDBOX"),
            Key("max_turns", TIGHTEN, "MOHIST_MAX_TURNS"),
            Key("max_cost_usd", TIGHTEN, "MOHIST_MAX_COST_USD"),
            Key("timeout_s", TIGHTEN, "MOHIST_TIMEOUT_S"),
            Key("checks", TRUST),
            Key("readable", OWNER),
            Key("limits", TRUST),
            Key("endpoints", TRUST),
            # A repository must not send a run's calls elsewhere.
            Key("server", OWNER),
            # Nor lead them out of the budgets that bind its user.
            Key("gateway", OWNER),
            # Nor loosen what keeps its secrets and others' in; a key of this table may be tightened, see `guard`.
            Key("guard", OWNER),
            # Nor what is evidence, or who vouches for it.
            Key("ledger", OWNER),
        )
    }
)

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "gateway.database_url": "MOHIST_DATABASE_URL",
        "gateway.database_password_file": "MOHIST_DATABASE_PASSWORD_FILE",
        "gateway.on_database_loss": "MOHIST_ON_DATABASE_LOSS",
        "guard.mode": "MOHIST_GUARD_MODE",
        "ledger.database_url": "MOHIST_LEDGER_DATABASE_URL",
        "ledger.database_password_file": "MOHIST_LEDGER_DATABASE_PASSWORD_FILE",
    }
)
"""The environment variables that say a key of a table."""
URLS = ("gateway.database_url", "ledger.database_url")
"""Keys of databases: the environment's may hold a password, which is never shown."""

_RUN = RunSettings()
_TOOL = ToolLimits()

LIMITS: Mapping[str, Any] = MappingProxyType(
    {
        "output_tokens": _TOOL.output_tokens,
        "read_lines": _TOOL.read_lines,
        "read_bytes": _TOOL.read_bytes,
        "line_chars": _TOOL.line_chars,
        "max_file_bytes": _TOOL.max_file_bytes,
        "search_matches": _TOOL.search_matches,
        "glob_paths": _TOOL.glob_paths,
        "parallel_calls": _RUN.parallel_calls,
        "shell_soft_timeout_s": _RUN.shell_soft_timeout_s,
        "shell_hard_timeout_s": _RUN.shell_hard_timeout_s,
        "check_timeout_s": _RUN.check_timeout_s,
    }
)
"""Defaults of `[limits]`."""


def defaults() -> dict[str, Any]:
    """All dotted keys with what holds when nobody says anything; no endpoints. A fresh one at each call."""
    return {
        "model": None,
        "mode": "auto",
        "network": "none",
        "allow_hosts": [],
        "allow_private_hosts": [],
        "sandbox": "bubblewrap",
        "max_turns": _RUN.max_turns,
        "max_cost_usd": None,
        "timeout_s": _RUN.timeout_s,
        "checks": [],
        "readable": [],
        "server.url": None,
        "server.key_env": SERVER_KEY_ENV,
        "gateway.database_url": None,
        "gateway.database_password_file": None,
        "gateway.on_database_loss": "closed",
        **screening.DEFAULTS,
        **ledger_setting.DEFAULTS,
    } | {f"limits.{name}": value for name, value in LIMITS.items()}


def guard(key: str) -> str:
    """TIGHTEN, TRUST or OWNER for a dotted key."""
    return TIGHTEN if screening.may_tighten(key) else KEYS[key.partition(".")[0]].guard
