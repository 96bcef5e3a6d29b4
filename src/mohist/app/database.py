"""Where the gateway's database is, for commands that need nothing else of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from mohist.app.config import Gateway, load_config
from mohist.app.key import VARIABLES
from mohist.app.trust import TrustStore
from mohist.base import StatePaths, SystemClock


def gateway_settings(env: Mapping[str, str]) -> Gateway:
    """What the machine's file, the environment and the user's file say; no project has a say.

    Raises:
        ConfigError: a file can't be read or says what it may not.
    """
    paths = StatePaths.from_env(env)
    heard = {name: env[name] for name in ("HOME", *VARIABLES.values()) if name in env}
    trust = TrustStore(paths.home / "trust.json", SystemClock())
    return load_config(env=heard, paths=paths, project_root=None, trust=trust).gateway
