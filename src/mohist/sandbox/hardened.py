"""How git is started on what an agent may have written: no configuration, hook, filter or transport of the tree's.

Everything here starts nothing but git; what git itself could start is switched off, and the environment is built up
from nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from mohist.sandbox.errors import GitError

OFF = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.untrackedCache=false", "core.attributesFile=/dev/null",
    "core.pager=cat", "core.editor=false", "core.askPass=false", "core.sshCommand=false", "core.gitProxy=false",
    "core.alternateRefsCommand=false", "core.quotePath=false", "credential.helper=", "diff.external=",
    "diff.ignoreSubmodules=all", "submodule.recurse=false", "protocol.allow=never", "gpg.program=false",
    "commit.gpgSign=false", "tag.gpgSign=false", "gc.auto=0", "maintenance.auto=false", "advice.detachedHead=false",
    "core.splitIndex=false", "init.templateDir=", "init.defaultBranch=main",
)  # fmt: skip
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C.UTF-8",
}
HARMLESS = ("core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode", "core.symlinks")
"""Of the user's configuration only these are taken over: they name no program and decide what a changed file is."""
_COMMAND_S = 300.0


@dataclass(frozen=True, slots=True)
class Hardened:
    """One git program, found where no agent can have put it."""

    program: Path
    search_path: str
    home: Path
    """Its HOME: a folder of ours."""

    @classmethod
    def find(cls, root: Path, home: Path) -> Hardened:
        """The host's git; what lies below `root`, where agents write, is not looked at. Raises GitError: none."""
        parts = [Path(part) for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
        path = os.pathsep.join(str(p) for p in parts if p.is_absolute() and not p.resolve().is_relative_to(root))
        found = shutil.which("git", path=path)
        if not found:
            raise GitError("git was not found.", "Install git.")
        return cls(Path(found), path, home)

    async def run(
        self,
        *args: str,
        cwd: Path,
        where: Sequence[str] = (),
        settings: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        accept: Sequence[int] = (0,),
        given: bytes = b"",
        keep_open: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs one command to its end.

        Args:
            where: options before the settings, such as `--git-dir=…`.
            settings: `key=value`, weaker than what is switched off.
            given: its standard input.
            keep_open: descriptors that the process holds too, such as a lock that must outlive us with it.

        Raises GitError: it could not be run, took too long, or ended with a code that is not in `accept`.
        """
        command = [str(self.program), *where, *(part for value in (*settings, *OFF) for part in ("-c", value)), *args]
        try:
            with anyio.fail_after(_COMMAND_S):
                done = await anyio.run_process(
                    command,
                    # anyio takes input=b"" for none and would pass the terminal on; `mktree` reads an empty one.
                    input=given or None,
                    stdin=None if given else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    check=False,
                    cwd=cwd,
                    env={"PATH": self.search_path, "HOME": str(self.home), **_ENVIRONMENT, **(env or {})},
                    pass_fds=tuple(keep_open),
                )
        except (OSError, TimeoutError) as error:
            raise GitError(f"git {args[0]} could not be run: {error}.") from None
        except ExceptionGroup as errors:
            # It ended before it had read its input.
            raise GitError(f"git {_name(args)} failed: {errors.exceptions[0]!r}.") from None
        if done.returncode not in accept:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise GitError(f"git {_name(args)} failed: {lines[0] if lines else done.returncode}.")
        return done


def _name(args: Sequence[str]) -> str:
    return next((part for part in args if not part.startswith("-")), "")
