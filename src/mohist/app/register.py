"""What the register says on this machine: the machine's file, the gateway's database, the project's file; the strictest holds.

/etc/mohist/register.toml        managed: whoever looks after the machine
the gateway's database           `mohist register add|set|…`
.mohist/register.toml            a project's: can only tighten, since the strictest of all holds
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mohist.app.presence import is_there
from mohist.app.user import user_name
from mohist.base import Clock, StatePaths, SystemClock
from mohist.policy.errors import RegisterError
from mohist.policy.register import Entry, Outcome, Register, Tool, Use, parse_register, strictest, tool_named
from mohist.policy.register import decide as decided

if TYPE_CHECKING:
    from mohist.gateway.address import Address
    from mohist.gateway.register import RegisterStore

MANAGED_FILE: Final = Path("/etc/mohist/register.toml")
PROJECT_FILE: Final = Path(".mohist") / "register.toml"
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
_NO_UID: Final = 2**32 - 1
"""What stands there of who did not log in, such as a service."""
_MAX_GIT_BYTES: Final = 256 * 1024
_REMOTE: Final = re.compile(r"^\s*url\s*=\s*(\S+)\s*$", re.MULTILINE)
_SCP: Final = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^@/\s]*@)?([^/\s]*)/+(.+)", re.IGNORECASE)


def decide(
    tool: str | Tool,
    version: str,
    env: Mapping[str, str],
    *,
    project: Path | None = None,
    governed: bool | None = True,
    model: str | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """What the registers that hold here say of a tool today.

    Args:
        tool: one of its names, as `claude-code`, `npm:@scope/name`, `program:name`; see `mohist.policy.register`.
        version: empty: it can't be told.
        env: for the state folder and the machine's settings.
        project: the folder worked in, whose own register may tighten, and whose remotes name the repository; None: none.
        governed: whether it is started in the fence; None: that is judged elsewhere.
        model: None: that is judged where it is called.
        clock: for the day.

    Raises:
        RegisterError: a file of the register is refused; nothing may be started then.
        StoreError: the gateway's database can't be read.
    """
    asked = tool if isinstance(tool, Tool) else tool_named(tool, version)
    use = Use(governed, model, repositories(project) if project is not None else None)
    day = today(clock or SystemClock())
    return strictest(decided(register, asked, day, use) for register in registers(env, project))


def registers(env: Mapping[str, str], project: Path | None = None) -> list[Register]:
    """All that hold on this machine, the weightiest first; blocks on the disk.

    Raises:
        RegisterError: a file is refused.
        StoreError: the gateway's database can't be read.
    """
    found = [read_register(MANAGED_FILE)] if is_there(MANAGED_FILE) else []
    if (kept := kept_register(env)) is not None:
        found.append(kept)
    if project is not None and is_there(project / PROJECT_FILE):
        found.append(read_register(project / PROJECT_FILE))
    return found


def kept_register(env: Mapping[str, str]) -> Register | None:
    """The register in the gateway's database; None: there is no database yet."""
    address = register_address(env)
    if address.path is not None and not address.path.exists():
        return None
    from mohist.gateway.register import RegisterStore

    with RegisterStore(address) as store:
        return store.register()


def register_address(env: Mapping[str, str]) -> Address:
    """The gateway's database."""
    from mohist.app.database import gateway_settings
    from mohist.gateway.address import home_address

    return home_address(StatePaths.from_env(env).home, gateway_settings(env).variables)


@contextmanager
def opened(env: Mapping[str, str]) -> Iterator[RegisterStore]:
    """The gateway's database for one command; changes are put down to who is at the keyboard, and entered in the ledger.

    Raises:
        StoreError: it can't be used.
    """
    from mohist.app.evidence import change_entry, evidence_here
    from mohist.gateway.change import Author
    from mohist.gateway.register import RegisterStore

    author = Author(person(), door="command")
    with evidence_here(env) as evidence:
        enter = change_entry(evidence)
        with RegisterStore(register_address(env), author=author, enter=enter) as store:
            yield store


def person(proc: Path = Path("/proc/self/loginuid")) -> str:
    """Who is at the keyboard: who logged in, also where they became somebody else since, else who runs this process.

    The kernel keeps the former through `sudo` and `su` (https://man7.org/linux/man-pages/man8/pam_loginuid.8.html); nothing that the
    environment says counts.
    """
    try:
        uid = int(proc.read_text("ascii"))
        if uid != _NO_UID:
            return pwd.getpwuid(uid).pw_name
    except (OSError, ValueError, KeyError):
        pass
    return user_name()


def described(entry: Entry) -> str:
    """An entry for people, in a few lines."""
    versions = "" if entry.span.is_any else f" {entry.versions}"
    when = f" from {entry.effective}" if entry.effective else ""
    when += f" until {entry.expires}" if entry.expires else ""
    lines = [f"{entry.entry_id}: {entry.tool}{versions} is {entry.disposition}{when}"]
    lines += [f"  {condition}" for condition in entry.conditions.told()]
    lines += [f"  {entry.reason}"] if entry.reason else []
    lines += [f"  instead: {entry.alternative}"] if entry.alternative else []
    lines += [f"  first step: {entry.first_step}"] if entry.first_step else []
    lines += [f"  evidence: {one.place} {one.digest[:19]}".rstrip() for one in entry.evidence]
    lines += [f"  owner: {entry.owner}"] if entry.owner else []
    return "\n".join(lines)


def read_register(path: Path) -> Register:
    """The register of a file.

    Raises:
        RegisterError: it can't be read, or says what it may not.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise RegisterError(
                f"{path}: the file is larger than {MAX_FILE_BYTES // 1024} KiB.", "Is it the right one?"
            )
        text = data.decode("utf-8")
    except OSError as error:
        raise RegisterError(f"{path}: it can't be read: {error.strerror}.", "See docs/register.md.") from error
    except UnicodeDecodeError as error:
        raise RegisterError(f"{path}: it is not UTF-8 text.", "See docs/register.md.") from error
    return parse_register(text, str(path))


def today(clock: Clock) -> date:
    """The day in UTC."""
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date()


def project_of(folder: Path) -> Path:
    """The top of the project that a folder is in: where `.git` is, else the folder itself."""
    return next((one for one in (folder, *folder.parents) if is_there(one / ".git")), folder)


def repositories(project: Path) -> tuple[str, ...]:
    """What a project is called: `host/owner/name` of each remote, then its folder. Reads `.git/config` alone."""
    text = _git_config(project_of(project) / ".git")
    named = [name for url in _REMOTE.findall(text) if (name := repository_name(url))]
    return (*dict.fromkeys(named), str(project))


def repository_name(url: str) -> str:
    """`host/owner/name` of a remote's address, however it is written; empty: it names no host."""
    found = _URL.fullmatch(url) or _SCP.fullmatch(url)
    if found is None:
        return ""
    host = found[1].lower().partition(":")[0]
    return f"{host}/{found[2].strip('/').removesuffix('.git')}" if host else ""


def _git_config(git: Path) -> str:
    """The text of a repository's settings, of a worktree's too; empty where it can't be read."""
    try:
        if git.is_file():
            pointed = git.read_text("utf-8", "replace")[:4096].removeprefix("gitdir:").strip()
            git = (git.parent / pointed).resolve()
            common = git / "commondir"
            git = (git / common.read_text("utf-8", "replace").strip()).resolve() if common.is_file() else git
        with (git / "config").open("rb") as file:
            return file.read(_MAX_GIT_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
