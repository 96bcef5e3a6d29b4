"""Make a private environment from a hash-checked lock; prints the path of its Python.

Run by `environment.sh` with the oldest thing that can be counted on: a bare CPython >= 3.11, standard library only.

    environment.py KIND LOCK FOLDER POINTER

FOLDER holds one environment per lock and Python, named by their digest, and a POINTER file that names the one in
use. An environment counts only when its `lock.txt` is there, and that is written last; the pointer is replaced by a
rename. One maker at a time holds FOLDER/.making (flock); its child processes hold it too, so that a maker killed
half-way is never overtaken while its installer still writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = 2
"""Finished environments kept per kind: the one in use and the one before, which a running Mohist may still import from."""

# Settings that would send the packages elsewhere than into the environment; indexes, proxies and certificates stay.
DIVERTING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN", "PIP_REQUIREMENT", "PIP_CONSTRAINT",
             "PIP_NO_BINARY", "PIP_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_SYSTEM_PYTHON", "UV_CONSTRAINT", "UV_OVERRIDE",
             "UV_NO_BINARY", "UV_PYTHON", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")  # fmt: skip


class SetUpError(Exception):
    """The environment could not be made; the message holds what and the mend, in one line."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make and where."""

    kind: str
    lock: Path
    folder: Path
    pointer: Path
    python: str

    @property
    def target(self) -> Path:
        """Named by all that decides what is in it."""
        digest = hashlib.sha256()
        for part in (self.lock.read_bytes(), sys.version.encode(), self.python.encode(), self.pointer.name.encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
        return self.folder / f"{self.kind}-{sys.implementation.cache_tag}-{digest.hexdigest()[:12]}"

    @property
    def packages(self) -> list[str]:
        """Names and versions in the lock, whatever their markers."""
        return [line.split()[0] for line in self.lock.read_text(encoding="utf-8").splitlines() if line[:1].isalnum()]


def say(text: str) -> None:
    print(f"mohist: {text}", file=sys.stderr, flush=True)


def stable_python() -> str:
    """This interpreter by a name that ends when its minor version goes: `…/python3.11` rather than `…/python3`.

    An environment made from `/usr/bin/python3` would come back to life with the wrong version after an upgrade.
    """
    executable = Path(getattr(sys, "_base_executable", sys.executable))
    versioned = executable.with_name(f"python{sys.version_info[0]}.{sys.version_info[1]}")
    return str(versioned if versioned.exists() else executable.resolve())


@contextlib.contextmanager
def sole_maker(folder: Path) -> Iterator[int]:
    """Hold the folder's lock; yields its descriptor. The kernel frees it when all holders are gone."""
    descriptor = os.open(folder / ".making", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is making the environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())  # for whoever asks who is at work
        yield descriptor
    finally:
        os.close(descriptor)


def make(plan: Plan) -> Path:
    """The finished environment's folder, made now if it is not there yet."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    with sole_maker(plan.folder) as descriptor:
        if not is_finished(plan):
            what = "first start" if not plan.pointer.exists() else "the lock or Python changed"
            say(
                f"{what}: making a private environment in {plan.folder} ({len(plan.packages)} packages; once, about half a minute)"
            )
            started = time.monotonic()
            fill(plan, descriptor)
            say(
                f"environment ready after {time.monotonic() - started:.0f} s; from now on no network is needed to start"
            )
        os.utime(plan.target / "lock.txt")
        point(plan)
        remove_old(plan)
    return plan.target


def is_finished(plan: Plan) -> bool:
    stamp = plan.target / "lock.txt"
    return (
        stamp.exists()
        and os.access(plan.target / "bin" / "python", os.X_OK)
        and stamp.read_bytes() == plan.lock.read_bytes()
    )


def fill(plan: Plan, descriptor: int) -> None:
    """Make, install, compile, stamp; leaves nothing behind when it fails."""
    shutil.rmtree(plan.target, ignore_errors=True)
    log = plan.folder / f"{plan.kind}.log"
    try:
        with log.open("w", encoding="utf-8") as log_file:
            run([plan.python, "-I", "-m", "venv", "--without-pip", str(plan.target)], log_file.fileno(), descriptor)
            install(plan, log, log_file.fileno(), descriptor)
            add_source(plan)
            python = str(plan.target / "bin" / "python")
            run(
                [python, "-I", "-m", "compileall", "-q", "-x", "/mohist/app/sample/", str(ROOT / "src" / "mohist")],
                log_file.fileno(),
                descriptor,
                check=False,
            )
            run([python, "-I", "-c", "import mohist"], log_file.fileno(), descriptor)
        stamp = plan.target / "lock.new"
        stamp.write_bytes(plan.lock.read_bytes())
        stamp.rename(plan.target / "lock.txt")
    except BaseException as error:
        shutil.rmtree(plan.target, ignore_errors=True)
        if isinstance(error, subprocess.CalledProcessError):
            raise SetUpError(explain(log)) from None
        raise


def install(plan: Plan, log: Path, log_descriptor: int, lock_descriptor: int) -> None:
    """With uv where it is present, else with pip; pip too when uv fails, as only pip may know the company's index."""
    python = str(plan.target / "bin" / "python")
    same = ["--require-hashes", "--only-binary", ":all:", "-r", str(plan.lock)]
    uv = shutil.which("uv")
    if uv is not None:
        command = [uv, "pip", "install", "--python", python, "--no-deps", "--compile-bytecode", *same]
        if run(command, log_descriptor, lock_descriptor, check=False) == 0:
            return
        say(f"uv could not install the packages ({log}); trying pip")
    with tempfile.TemporaryDirectory(prefix="mohist-pip-") as scratch:
        on_wait = counter(log, len(plan.packages))
        pip = find_pip(Path(scratch), log_descriptor, lock_descriptor)
        command = [python, "-m", "pip", "install", "--no-deps", "--no-user", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", *same]  # fmt: skip
        try:
            run(command, log_descriptor, lock_descriptor, extra_env={"PYTHONPATH": str(pip)}, on_wait=on_wait)
        finally:
            if on_wait is not None:
                print(file=sys.stderr)


def find_pip(scratch: Path, log_descriptor: int, lock_descriptor: int) -> Path:
    """A folder that holds the package pip: from ensurepip's wheel, this Python's own, or Debian's wheel package.

    A bare Debian or Ubuntu has Python without ensurepip and without pip; `apt-get download` needs no root there.
    """
    bundled = installed_at("ensurepip")
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), bundled / "_bundled" if bundled else None]
    for folder in filter(None, folders):
        for wheel in sorted(Path(folder).glob("pip-*.whl")):
            return unpack(wheel, scratch)
    if pip := installed_at("pip"):
        return pip.parent
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        download = ["apt-get", "download", "-q", "python3-pip-whl"]
        if run(download, log_descriptor, lock_descriptor, check=False, cwd=scratch) == 0:
            for package in scratch.glob("*.deb"):
                run(["dpkg-deb", "-x", str(package), str(scratch)], log_descriptor, lock_descriptor)
            for wheel in sorted((scratch / "usr/share/python-wheels").glob("pip-*.whl")):
                return unpack(wheel, scratch)
    raise SetUpError(
        f"{sys.executable} has no pip to install packages with. Run: apt install python3-venv (Debian, Ubuntu), or install uv."
    )


def installed_at(package: str) -> Path | None:
    """Folder of a package of this Python; None where it is missing, or only an empty folder of that name is left."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent
    return None


def unpack(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch / "pip")
    return scratch / "pip"


def add_source(plan: Plan) -> None:
    """Make this checkout's `src` importable; by a relative path where both move together."""
    site_packages = next((plan.target / "lib").glob("python*/site-packages"))
    source = ROOT / "src"
    inside = plan.target.is_relative_to(ROOT)
    line = os.path.relpath(source, site_packages) if inside else str(source)
    (site_packages / "mohist.pth").write_text(f"{line}\n", encoding="utf-8")


def point(plan: Plan) -> None:
    """Name the environment in use, and the Python that was asked for, in one atomic step."""
    new = plan.pointer.with_name(f"{plan.pointer.name}.new")
    new.write_text(f"{plan.target.name}\n{os.environ.get('MOHIST_PYTHON', '')}\n", encoding="utf-8")
    new.replace(plan.pointer)


def remove_old(plan: Plan) -> None:
    """Remove unfinished environments of this kind and finished ones but the newest KEPT."""
    finished: list[tuple[float, Path]] = []
    for path in plan.folder.glob(f"{plan.kind}-{sys.implementation.cache_tag}-*"):
        stamp = path / "lock.txt"
        if stamp.exists():
            finished.append((stamp.stat().st_mtime, path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    for _, path in sorted(finished, reverse=True)[KEPT:]:
        if path != plan.target:
            shutil.rmtree(path, ignore_errors=True)


def run(
    argv: Sequence[str],
    log_descriptor: int,
    lock_descriptor: int,
    *,
    check: bool = True,
    cwd: Path = ROOT,
    extra_env: Mapping[str, str] | None = None,
    on_wait: Callable[[], None] | None = None,
) -> int:
    """Run to its end with all output in the log; returns the exit code. `on_wait` is called now and then meanwhile."""
    env = {name: value for name, value in os.environ.items() if name not in DIVERTING}
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log_descriptor,
        stderr=log_descriptor,
        pass_fds=(lock_descriptor,),
        env=env | dict(extra_env or {}),
        cwd=cwd,
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(None if on_wait is None else 0.2)
            if on_wait is not None:
                on_wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return process.returncode


def counter(log: Path, total: int) -> Callable[[], None] | None:
    """Shows on a terminal how many packages pip has come to; None where stderr is none."""
    if not sys.stderr.isatty():
        return None

    def show() -> None:
        begun = log.read_text(encoding="utf-8", errors="replace").count("\nCollecting ")
        print(f"\rmohist: package {begun} of {total} ", end="", file=sys.stderr, flush=True)

    return show


def explain(log: Path) -> str:
    """One line for the failure that the log shows."""
    text = log.read_text(encoding="utf-8", errors="replace")
    told = f"Details: {log}"
    if "DO NOT MATCH THE HASHES" in text or "Hash mismatch" in text:
        return f"a downloaded package differs from the one that was locked; nothing was installed. Do not use that package index. {told}"
    if "No space left" in text:
        return f"the disk is full; free about 200 MB and start again. {told}"
    signs = (
        "NewConnectionError",
        "Failed to establish",
        "Temporary failure",
        "ConnectTimeout",
        "Could not fetch URL",
        "dns error",
        "Connection broken",
    )
    if any(sign in text for sign in signs):
        return f"can't reach the package index, which the first start needs. Connect, or name a reachable index in PIP_INDEX_URL, and start again. {told}"
    if "No module named venv" in text:
        return f"this Python lacks its module venv. Run: apt install python3-venv (Debian, Ubuntu). {told}"
    if "No matching distribution" in text or "no wheels" in text:
        return f"a locked package has no wheel for this machine ({sysconfig.get_platform()}, Python {sys.version.split()[0]}). {told}"
    return f"the environment could not be made. {told}"


def main(argv: Sequence[str]) -> int:
    kind, lock, folder, pointer = argv
    os.umask(0o022)  # the sandbox runs programs from here under another user when Mohist is started as root
    plan = Plan(kind, Path(lock), Path(folder), Path(folder) / pointer, stable_python())
    try:
        print(make(plan) / "bin" / "python")
    except SetUpError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(
            f"can't make the environment in {plan.folder}: {error.strerror or error}. Free space there, or set MOHIST_HOME to a folder you can write."
        )
        return 1
    except KeyboardInterrupt:
        say("stopped; nothing was left behind")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
