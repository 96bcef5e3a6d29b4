"""How far an approval reaches: `git push` approved is not `git` approved."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mohist.policy.pattern import UNKNOWN

# How many leading words name what is done. A command that isn't here is named by its first word.
_ARITY = {
    "apt": 2, "brew": 2, "bundle": 3, "cargo": 2, "cmake": 1, "composer": 2, "conda": 2, "docker": 2,
    "docker compose": 3, "dotnet": 2, "gh": 3, "git": 2, "git remote": 3, "git stash": 3, "git submodule": 3,
    "git worktree": 3, "git config": 3, "glab": 3, "go": 2, "go mod": 3, "gradle": 2, "helm": 2, "hatch": 2,
    "hatch run": 3, "just": 2, "kubectl": 2, "make": 2, "mvn": 2, "npm": 2, "npm run": 3, "npx": 2, "pdm": 2,
    "pdm run": 3, "pip": 2, "pip3": 2, "pipenv": 2, "pipenv run": 3, "pnpm": 2, "pnpm run": 3, "poetry": 2,
    "poetry run": 3, "rustup": 2, "systemctl": 2, "terraform": 2, "tofu": 2, "uv": 2, "uv pip": 3, "uv run": 3,
    "yarn": 2, "yarn run": 3, "bun": 2, "bun run": 3, "python -m": 3, "python3 -m": 3, "mise": 2, "task": 2,
}  # fmt: skip

# These run whatever they are given, or do harm of a new kind with each argument: an approval is for that one call.
_NEVER = frozenset({
    "bash", "sh", "dash", "zsh", "ksh", "fish", "busybox", "python", "python3", "node", "deno", "bun", "perl", "ruby",
    "php", "lua", "Rscript", "osascript", "pwsh", "awk", "gawk", "mawk", "eval", "exec", "source", ".", "coproc",
    "trap", "alias", "enable", "hash", "builtin", "command", "env", "xargs", "parallel", "watch", "ssh", "sudo",
    "doas", "su", "pkexec", "runuser", "setpriv", "unshare", "nsenter", "chroot", "strace", "gdb", "script", "find",
    "rm", "dd", "mkfs", "shred", "chmod", "chown", "kill", "pkill", "killall", "curl", "wget", "nc", "socat", "tar",
    "rsync", "scp", "sftp", "crontab", "at", "systemd-run", "tmux", "screen", "expect", "vim", "vi", "ed", "ex",
})  # fmt: skip

_NEVER_PAIRS = frozenset({"docker run", "docker exec", "git config", "npm exec"})

_SAFE_WORD = re.compile(r"[\w@%+=:,./-]+")


def command_cover(argv: Sequence[str]) -> str:
    """The leading words of `argv` that say what it does, e.g. `npm run test`; empty when they don't bound it."""
    arity = 1
    for length in (1, 2):
        arity = _ARITY.get(" ".join(argv[:length]), arity)
    words = argv[:arity]
    program = argv[0].rsplit("/", 1)[-1]
    program = program if program in _NEVER else program.rstrip("0123456789.-")
    if (
        (arity == 1 and program in _NEVER)
        or " ".join(argv[:2]) in _NEVER_PAIRS
        or len(words) < arity
        or any(UNKNOWN in word or not _SAFE_WORD.fullmatch(word) for word in words)
    ):
        return ""
    if any(word.startswith("-") and word != "-m" for word in words):
        return ""
    return " ".join(words)
