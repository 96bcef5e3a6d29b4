"""The way of a governed client's calls: a gateway in this process, or one that serves elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.app.errors import ConfigError
from mohist.app.govern.account import Account
from mohist.app.govern.forward import Forward
from mohist.app.govern.gateway import RunGateway, supply
from mohist.app.server import find_model
from mohist.base import RandomIds, StatePaths, SystemClock
from mohist.gateway.asgi import App

if TYPE_CHECKING:
    from mohist.app.config import Config
    from mohist.app.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Way:
    """Ready to be begun."""

    app: App
    """Answers the client's calls."""
    model: str
    """That the client is told of."""
    source: str
    """For people: whose model it is."""
    begin: Callable[[], None]
    """Reads what binds calls; blocks. Raises MohistError where no call may be made."""
    close: Callable[[], Awaitable[int]]
    """How many calls could not be written down."""


async def open_way(
    model: str | None,
    key: str,
    run_id: str,
    project: str,
    config: Config,
    env: Mapping[str, str],
    paths: StatePaths,
    account: Account,
    evidence: Evidence | None,
    tool: str,
    root: Path,
) -> Way:
    """The way that the configuration means.

    Args:
        model: as a flag names it.
        key: what the client shows; worth nothing anywhere else, and nothing after `close`.
        run_id: what that key is called.
        project: what usage says of it.
        account: is told of every call.
        evidence: the ledger; None: nothing is entered.
        tool: the client, as the register knows it.
        root: of the project.

    Raises:
        NoModelError, ModelNameError: there is no model, or its name means nothing.
        ConfigError: routes or server are refused.
    """
    clock = SystemClock()
    if config.server is None:
        given = await supply(model, config, env, paths.home)
        ids = RandomIds(clock)
        made = RunGateway(given, key, run_id, config, env, paths, project, clock, ids, account, evidence, tool, root)
        return Way(made.app, given.model, given.line, made.start, made.close)
    found = await find_model(model, config, env)
    if found.dialect == "replay":
        raise ConfigError("A recording can't answer a client.", "Name a model of the server.")
    secret = env.get(config.server.key_env, "").strip()
    forward = Forward(config.server.url, secret, key, account)
    return Way(forward.app, found.wire, f"{found.wire} by {config.server.url}", lambda: None, forward.close)
