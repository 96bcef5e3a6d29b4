"""The file system a launched tree sees: an allow-list of the host's folders, and what is made for it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mohist.sandbox.errors import RefusedError
from mohist.sandbox.mask import Held
from mohist.sandbox.process import Profile

HOME = "/home/agent"
USER_ID = 1000
_TMP, _SHM = "/tmp", "/dev/shm"  # noqa: S108 - the sandbox's own tmpfs
_TMP_BYTES = 1024**3
_SHM_BYTES = 256 * 1024**2
_COVER_BYTES = 4096
_EMPTY_TABLES = (".json", ".jsonc", ".yaml", ".yml")
"""Settings in these forms say nothing as `{}`; nothing at all is an error to some that read them."""

_FOLDERS = ("/usr", "/opt", "/nix/store", "/gnu/store")
_MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# No shadow, no keys, no host configuration of programs that may hold a token. Files are copied: bwrap reads the whole
# mount table for each mount it makes, so thirty mounts fewer save a third of a start.
_ETC_FOLDERS = ("alternatives", "crypto-policies", "fonts", "pki/ca-trust", "pki/tls/certs", "ssl/certs")
_ETC_FILES = (
    "debian_version", "ld.so.cache", "ld.so.conf", "localtime", "lsb-release", "magic", "mime.types", "nsswitch.conf",
    "os-release", "pki/tls/cert.pem", "pki/tls/openssl.cnf", "protocols", "redhat-release", "rpc", "services",
    "ssl/cert.pem", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
_ETC_FILE_BYTES = 1024**2
_SYSTEM = (
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run",
    "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/tmp", "/Users",  # noqa: S108
)  # fmt: skip
_SEARCH_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Tree:
    """One host folder or file that is shown, mostly at its own path."""

    path: Path
    writable: bool
    at: Path | None = None
    """Shown there instead."""

    @property
    def place(self) -> Path:
        return self.at or self.path


@dataclass(slots=True)
class Arguments:
    """bwrap's arguments, and the contents of files that it makes from descriptors."""

    options: list[str] = field(default_factory=list)
    files: list[tuple[bytes, str]] = field(default_factory=list)
    covers: list[tuple[bytes, str]] = field(default_factory=list)
    """The same, but laid over what is there instead of written."""
    last: list[str] = field(default_factory=list)
    """Options after the files: the root is closed last."""


def resolve_profile(profile: Profile, cwd: Path, state: Path | None) -> tuple[tuple[Tree, ...], Path]:
    """The trees to show, parents first, and the working folder, both with links resolved.

    Raises RefusedError for a path that would show a home, the system or Mohist's own state.
    """
    workspace = _real(profile.workspace, "workspace")
    if not workspace.is_dir():
        raise RefusedError(f"The workspace {str(workspace)!r} is not a folder.", "Name a project folder.")
    trees = {workspace: Tree(workspace, profile.writable)}
    for path in profile.extra_writable:
        real = _real(path, "writable path")
        trees.setdefault(real, Tree(real, writable=True))
    for path in profile.extra_readable:
        real = _real(path, "readable path")
        if not any(tree.writable and real.is_relative_to(tree.path) for tree in trees.values()) or not profile.writable:
            trees.setdefault(real, Tree(real, writable=False))
    if profile.home is not None:
        home = _real(profile.home, "home")
        if home in trees:
            raise RefusedError(f"The home {str(home)!r} is shown already.", "Name a folder of its own.")
        trees[home] = Tree(home, writable=True, at=Path(HOME))
    for tree in trees.values():
        _refuse_wide(tree.path, state if tree.writable else None)
    if profile.hidden and not profile.writable:
        raise RefusedError(
            "Only in a writable workspace can something be hidden.", "Leave it out, or let it be written."
        )
    if (profile.network == "fenced") != (profile.fence is not None):
        raise RefusedError("A fence and `fenced` go together.", "Set both `network` and `fence`, or neither.")
    folder = _real(cwd, "working folder")
    shown = [*(tree.place for tree in trees.values()), *(Path(name) for name in _FOLDERS)]
    if str(folder) != _TMP and not any(folder.is_relative_to(path) for path in shown):
        raise RefusedError(
            f"The working folder {str(folder)!r} is not visible in the sandbox.", "Use the workspace or a folder in it."
        )
    return tuple(sorted(trees.values(), key=lambda tree: len(tree.place.parts))), folder


def build_arguments(
    trees: Sequence[Tree],
    held: Sequence[Held],
    profile: Profile,
    cwd: Path,
    locate: Callable[[Path], str],
) -> Arguments:
    """bwrap's options, in mount order: later ones lie over earlier ones.

    Args:
        locate: where bwrap finds a tree's source; its own path, but for a start as root.
    """
    made = Arguments()
    add = made.options.extend
    add(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"])
    if profile.network != "full":
        add(["--unshare-net"])
    add(["--disable-userns", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"])
    add(["--uid", str(USER_ID), "--gid", str(USER_ID)])
    for name, value in _variables(trees, profile).items():
        add(["--setenv", name, value])
    for parent in ("/etc", "/etc/pki", "/etc/pki/tls", "/etc/ssl", "/home"):
        add(["--perms", "0755", "--dir", parent])  # bwrap would make them 0700
    if profile.fence is not None:
        add(["--perms", "0755", "--dir", "/etc/mohist"])
    _add_system(made, profile)
    add(["--proc", "/proc", "--dev", "/dev", "--size", str(_SHM_BYTES), "--tmpfs", _SHM])
    add(["--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", _TMP])
    if profile.home is None:
        add(["--perms", "0700", "--size", str(_TMP_BYTES), "--tmpfs", HOME])
    workspace = profile.workspace.resolve()
    for tree in trees:
        add(["--bind" if tree.writable else "--ro-bind", locate(tree.path), str(tree.place)])
    for item in held:
        if item.cover:
            _add_cover(made, item, workspace)
            continue
        source = str(Path(locate(workspace)) / item.path)
        add(["--bind" if item.writable else "--ro-bind", source, str(workspace / item.path)])
    made.last += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(cwd)]
    return made


def _add_cover(made: Arguments, item: Held, workspace: Path) -> None:
    """Something empty in the place of a folder or file of the workspace."""
    place = str(workspace / item.path)
    if item.cover == "folder":
        made.options += ["--perms", "0755", "--size", str(_COVER_BYTES), "--tmpfs", place, "--remount-ro", place]
    else:
        made.covers.append((b"{}\n" if place.endswith(_EMPTY_TABLES) else b"", place))


def environment(trees: Sequence[Tree], readable: Sequence[Path], extra: Mapping[str, str]) -> dict[str, str]:
    """Built up from nothing; the `bin` folders of what is readable besides come first in PATH, in their order."""
    shown = {tree.path for tree in trees}
    own = []
    for path in (path.resolve() for path in readable):
        folder = path if path.name == "bin" else path / "bin"
        if path in shown and folder.is_dir():
            own.append(str(folder))
    return {
        "PATH": os.pathsep.join([*own, *_SEARCH_PATH]),
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "TMPDIR": _TMP,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "CI": "1",
        "NO_COLOR": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",  # never shown, and git stops at one that is there but can't be read
        **extra,
    }


def _variables(trees: Sequence[Tree], profile: Profile) -> dict[str, str]:
    """The fence's own lie under the profile's; a person at a terminal is no CI."""
    fenced = profile.fence.env if profile.fence is not None else {}
    found = environment(trees, profile.extra_readable, {**fenced, **profile.env})
    if profile.terminal is not None:
        for name in ("CI", "NO_COLOR", "PAGER", "GIT_PAGER", "GIT_TERMINAL_PROMPT", "TERM"):
            if name not in profile.env:
                del found[name]
        found.setdefault("TERM", "xterm-256color")
    return found


def system_paths(profile: Profile) -> tuple[Path, ...]:
    """What of the host's system a backend without mounts lets be read, links resolved."""
    names = [
        *_FOLDERS,
        *_MERGED,
        *(f"/etc/{name}" for name in (*_ETC_FOLDERS, *_ETC_FILES)),
        "/etc/passwd",
        "/etc/group",
    ]
    if profile.network == "full":
        names += ["/etc/hosts", "/etc/resolv.conf"]
    return tuple(dict.fromkeys(Path(name).resolve() for name in names if Path(name).exists()))


def _add_system(made: Arguments, profile: Profile) -> None:
    for name in _FOLDERS:
        if Path(name).is_dir():
            made.options += ["--ro-bind", name, name]
    for name in _MERGED:
        path = Path(name)
        if path.is_symlink():
            made.options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            made.options += ["--ro-bind", name, name]
    for name in _ETC_FOLDERS:
        if Path("/etc", name).is_dir():
            made.options += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    for name in _ETC_FILES:
        path = Path("/etc", name)
        if path.is_file() and path.stat().st_size <= _ETC_FILE_BYTES:
            made.files.append((path.read_bytes(), str(path)))
    made.files += [
        (f"root:x:0:0::/:/bin/sh\nagent:x:{USER_ID}:{USER_ID}::{HOME}:/bin/sh\n".encode(), "/etc/passwd"),
        (f"root:x:0:\nagent:x:{USER_ID}:\n".encode(), "/etc/group"),
    ]
    if profile.network == "full":
        for name in ("/etc/hosts", "/etc/resolv.conf"):
            if Path(name).is_file():
                made.files.append((Path(name).read_bytes(), name))
    else:
        made.files.append((b"127.0.0.1 localhost sandbox\n::1 localhost\n", "/etc/hosts"))
    if profile.fence is not None:
        made.files += profile.fence.files


def _real(path: Path, role: str) -> Path:
    if not path.is_absolute():
        raise RefusedError(f"The {role} {str(path)!r} is not absolute.", "Pass absolute paths.")
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a loop of links"
        raise RefusedError(f"The {role} {str(path)!r} can't be used: {reason}.", "Check the path.") from None


def _refuse_wide(path: Path, state: Path | None) -> None:
    homes = {Path(pwd.getpwuid(os.getuid()).pw_dir)} if _has_account() else set()
    if os.environ.get("HOME"):
        homes.add(Path(os.environ["HOME"]))
    if str(path) in _SYSTEM or any(home.is_absolute() and home.is_relative_to(path) for home in homes):
        raise RefusedError(
            f"{str(path)!r} is a home or a system folder: showing it to an agent would show keys and settings.",
            "Work in a project folder below it.",
        )
    inside = state is not None and state.is_relative_to(path) and not state.is_relative_to(path / ".mohist")
    if state is not None and (inside or path.is_relative_to(state / "cache")):
        raise RefusedError(
            f"{str(path)!r} holds Mohist's own state {str(state)!r}, which no agent may write.",
            "Set MOHIST_HOME to a folder outside the workspace.",
        )


def _has_account() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True
