"""A branch on a git server: where it stands, what it holds, setting and removing it by lease. Over ssh, https, or a file's path.

What decides how the server is reached comes from whoever makes the `Remote`, never from a repository: its configuration,
hooks and credential helpers are not read. A token reaches git in its environment, not in its arguments, and no redirect is
followed with it.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from mohist.sandbox.borrowed import Borrowed
from mohist.sandbox.errors import AwayError, BarredError, GitError, MovedError
from mohist.sandbox.hardened import Hardened

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_BARRED: Final = re.compile(
    r"authentication failed|permission denied|access denied|could not read (username|password)|error: 40[13]|"
    r"host key verification failed|repository .* not found|does not appear to be a git repository|protected|declined|denied|denying|refusing|prohibited",
    re.IGNORECASE,
)
_STALE: Final = re.compile(
    r"stale info|fetch first|non-fast-forward|cannot lock ref|incorrect old value", re.IGNORECASE
)
_TEXT_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Remote:
    """How a git server is reached."""

    url: str
    """`ssh://git@host/path`, `https://host/path`, or the absolute path of a bare repository. Without a password."""
    token: str = field(default="", repr=False)
    """For https."""
    user: str = "git"
    """The name that goes with the token."""
    helper: str = ""
    """A credential helper of the user's, as `credential.helper` names it; for https without a token."""
    key: Path | None = None
    """Private key for ssh; None: what the user's agent and ssh configuration have."""
    known_hosts: Path | None = None
    agent: str = field(default="", repr=False)
    """The agent's socket; empty: none."""
    home: Path | None = None
    """The user's home, for the helper."""

    @property
    def scheme(self) -> Literal["ssh", "https", "http", "file"]:
        """The one transport that git may use.

        Raises GitError: it is none of these, http to another machine, or the address holds a password.
        """
        if self.url.startswith("/"):
            return "file"
        parts = urlsplit(self.url)
        if parts.password:
            raise GitError("The address of the remote holds a password.", "Name a token's variable or file instead.")
        if parts.hostname and not parts.hostname.startswith("-") and not (parts.username or "").startswith("-"):
            if parts.scheme == "ssh":
                return "ssh"
            if parts.scheme == "https":
                return "https"
            if parts.scheme == "http" and parts.hostname in _LOOPBACK:
                return "http"
        raise GitError(
            f"{self.url!r} can't be used as a remote.", "Write ssh://user@host/path, https://host/path, or a path."
        )


class RemoteStore:
    """The branches of a remote, as seen from a store that holds what is pushed."""

    def __init__(self, store: Borrowed, remote: Remote) -> None:
        self._private = store.private
        self._git = Hardened.find(store.repository.root, store.private)
        self._remote = remote
        self._scheme = remote.scheme

    async def tip(self, branch: str) -> str:
        """Where a branch stands, its commits brought into the store; empty: it is not there.

        Raises AwayError, BarredError.
        """
        ref = f"refs/heads/{branch}"
        told = await self._run("ls-remote", "--refs", self._remote.url, ref)
        rows = [row.split("\t") for row in told.splitlines()]
        commit = next((row[0] for row in rows if row[-1] == ref), "")
        if commit:
            await self._run(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--no-auto-gc",
                self._remote.url, f"+{ref}:refs/mohist/remote/{branch}",
            )  # fmt: skip
        return commit

    async def push(self, commit: str, branch: str, expected: str) -> None:
        """Sets a branch if it stands on `expected` (empty: if it is not there). Nothing happens where it stands on `commit`.

        Raises:
            MovedError: it stands elsewhere.
            BarredError: the server doesn't let it in.
            AwayError: the server did not answer; whether it is pushed is not known.
        """
        ref = f"refs/heads/{branch}"
        await self._run(
            "push", "--porcelain", "--no-verify", "--recurse-submodules=no", "--no-signed",
            f"--force-with-lease={ref}:{expected}", self._remote.url, f"{commit}:{ref}",
        )  # fmt: skip

    async def remove(self, branch: str, expected: str) -> None:
        """Removes a branch if it stands on `expected`. Nothing happens where it is not there.

        Raises:
            MovedError: it stands elsewhere.
            BarredError: the server doesn't let it go: it is protected, or its default.
            AwayError: the server did not answer; whether it is gone is not known.
        """
        ref = f"refs/heads/{branch}"
        told = await self._run("ls-remote", "--refs", self._remote.url, ref)
        at = next((row.split("\t")[0] for row in told.splitlines() if row.endswith(f"\t{ref}")), "")
        if not at:
            return
        if at != expected:
            raise MovedError(f"The remote's branch {branch!r} stands on {at[:12]}, not on {expected[:12]}.")
        await self._run(
            "push", "--porcelain", "--no-verify", "--recurse-submodules=no", "--no-signed",
            f"--force-with-lease={ref}:{expected}", self._remote.url, f":{ref}",
        )  # fmt: skip

    async def _run(self, *args: str) -> str:
        remote = self._remote
        before: list[str] = []
        if self._scheme == "https" and remote.helper and not remote.token:
            before = ["-c", f"credential.helper={remote.helper}"]
        done = await self._git.run(
            *before,
            *args,
            cwd=self._private,
            where=[f"--git-dir={self._private}"],
            env=self._environment(),
            accept=range(256),
        )
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        text = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
        raise self._error(next(arg for arg in args if not arg.startswith("-")), text)

    def _environment(self) -> Mapping[str, str]:
        remote = self._remote
        env = {"GIT_ALLOW_PROTOCOL": self._scheme, "GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": "60"}
        if self._scheme == "ssh":
            options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=20", "ServerAliveInterval=15",
                       "ClearAllForwardings=yes", "ControlPath=none", "PermitLocalCommand=no"]  # fmt: skip
            if remote.known_hosts:
                options.append(f"UserKnownHostsFile={_quoted(remote.known_hosts)}")
            if remote.key:
                options += [f"IdentityFile={_quoted(remote.key)}", "IdentitiesOnly=yes"]
            env["GIT_SSH_COMMAND"] = shlex.join(["ssh", *(part for option in options for part in ("-o", option))])
            env["GIT_SSH_VARIANT"] = "ssh"
            if remote.agent:
                env["SSH_AUTH_SOCK"] = remote.agent
        if self._scheme in ("https", "http"):
            settings = {"http.followRedirects": "false"}
            if remote.token:
                word = base64.b64encode(f"{remote.user}:{remote.token}".encode()).decode()
                settings["http.extraHeader"] = f"Authorization: Basic {word}"
            env["GIT_CONFIG_COUNT"] = str(len(settings))
            for number, (key, value) in enumerate(settings.items()):
                env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = key, value
        if remote.helper and remote.home:
            env["HOME"] = str(remote.home)
        return env

    def _error(self, command: str, text: str) -> GitError:
        if self._remote.token:
            text = text.replace(self._remote.token, "…")
        lines = [" ".join(line.split()) for line in text.splitlines()]
        rows = [line for line in lines if line.startswith("!")] or [
            line for line in lines if line.startswith(("fatal:", "error:", "ssh:", "remote:"))
        ]
        hints = [
            line
            for line in lines
            if line.startswith("remote:") and line.removeprefix("remote:").strip() and line not in rows
        ]
        told = "; ".join([*rows[:3], *hints[:3]])[:_TEXT_CHARS] or f"git {command} failed"
        if _STALE.search(" ".join(rows)):
            return MovedError(f"The remote's branch moved: {told}.", "It is merged again onto what it is now.")
        if _BARRED.search(text):
            return BarredError(f"The remote refused: {told}.", "Look at the branch's protection, and at key or token.")
        return AwayError(f"The remote did not answer: {told}.", "It is tried again.")


def _quoted(path: Path) -> str:
    """As ssh's configuration wants a path with spaces."""
    return f'"{path}"'
