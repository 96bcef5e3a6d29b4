"""What the machine's owner says of the gateway, for commands that work on no project."""

from __future__ import annotations

from collections.abc import Mapping

from mohist.app.config import Config, Gateway, load_config
from mohist.app.key import VARIABLES
from mohist.app.trust import TrustStore
from mohist.base import StatePaths, SystemClock


def gateway_settings(env: Mapping[str, str]) -> Gateway:
    """Where the gateway's database is; see `owner_config`."""
    return owner_config(env).gateway


def owner_config(env: Mapping[str, str]) -> Config:
    """What the machine's file, the environment and the user's file say of server, database and guard; no project has a say.

    Raises:
        ConfigError: a file can't be read or says what it may not.
    """
    paths = StatePaths.from_env(env)
    heard = {name: env[name] for name in ("HOME", *VARIABLES.values()) if name in env}
    trust = TrustStore(paths.home / "trust.json", SystemClock())
    return load_config(env=heard, paths=paths, project_root=None, trust=trust)
