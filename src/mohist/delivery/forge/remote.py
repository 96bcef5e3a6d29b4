"""Where a repository's base branch lives, by the user's own settings: `[[remote]]` in `$MOHIST_HOME/deliver.toml`.

Never from the repository: whoever writes there must not choose where a token or a key is sent.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mohist.base import Clock
from mohist.delivery.errors import ForgeError
from mohist.delivery.forge.contract import Forge
from mohist.delivery.forge.gitea import Gitea
from mohist.delivery.forge.github import GitHub, Method
from mohist.delivery.forge.gitlab import GitLab
from mohist.sandbox import Remote

Kind = Literal["github", "gitlab", "gitea"]
_PROJECT: Final = r"^[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)+$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Forge(_Part):
    kind: Kind
    api: str = "https://api.github.com"
    project: Annotated[str, Field(pattern=_PROJECT)]
    method: Method = "merge"
    token_env: str = ""
    token_file: str = ""


class _Remote(_Part):
    repository: str
    """Absolute path of the local repository that deliveries are asked for in."""
    url: str
    token_env: str = ""
    token_file: str = ""
    user: str = "git"
    helper: str = ""
    key: str = ""
    known_hosts: str = ""
    forge: _Forge | None = None


class _File(_Part):
    remote: tuple[_Remote, ...] = Field(default=(), strict=False)


@dataclass(frozen=True, slots=True)
class Post:
    """Where one repository's changes go."""

    remote: Remote
    forge: Forge | None


def find_post(text: str, origin: str, repository: Path, env: Mapping[str, str], clock: Clock) -> Post | None:
    """What the settings say of a repository; None: its changes are merged where they were asked for.

    Args:
        text: TOML; other tables of the file are others'.
        origin: its name, for errors.
        repository: absolute path of it, or of a folder in it.
        env: whence tokens, the agent's socket and the home are taken.
        clock: for pauses that a forge asks for.

    Raises:
        ForgeError: the settings are not understood, or name a token that is not there.
        GitError: an address that can't be used.
    """
    try:
        read = _File.model_validate({"remote": tomllib.loads(text).get("remote", ())})
    except tomllib.TOMLDecodeError as error:
        raise ForgeError(f"{origin}: not valid TOML: {error}.") from None
    except ValidationError as error:
        rows = [f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors(include_input=False)[:5]]
        raise ForgeError(f"{origin}: {'; '.join(rows)}.", "See docs/delivery.md.") from None
    for one in read.remote:
        if not repository.resolve().is_relative_to(Path(one.repository).expanduser().resolve()):
            continue
        home = env.get("HOME", "")
        remote = Remote(
            one.url,
            _secret(one, env, origin),
            one.user,
            one.helper,
            Path(one.key).expanduser() if one.key else None,
            Path(one.known_hosts).expanduser() if one.known_hosts else None,
            env.get("SSH_AUTH_SOCK", ""),
            Path(home) if home else None,
        )
        _ = remote.scheme
        return Post(remote, _forge(one.forge, env, origin, clock) if one.forge else None)
    return None


def _forge(spec: _Forge, env: Mapping[str, str], origin: str, clock: Clock) -> Forge:
    token = _secret(spec, env, origin)
    if not token:
        raise ForgeError(f"{origin}: the forge of {spec.project} has no token.", "Set token_env or token_file.")
    kinds: Mapping[Kind, Any] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}
    made: Forge = kinds[spec.kind].made(spec.api.rstrip("/"), spec.project, token, spec.method, clock)
    return made


def _secret(spec: _Remote | _Forge, env: Mapping[str, str], origin: str) -> str:
    if spec.token_env:
        if not env.get(spec.token_env):
            raise ForgeError(f"{origin}: the variable {spec.token_env} is not set.", "Set it, or name another.")
        return env[spec.token_env].strip()
    if spec.token_file:
        try:
            return Path(spec.token_file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ForgeError(f"{origin}: {spec.token_file} can't be read: {type(error).__name__}.") from None
    return ""
