"""Landlock alone: it holds what it promises, what it does not hold is known, and it never comes uninvited.

Root can't be confined by it, so a start as root runs this file again as a user without rights.
"""

# ruff: noqa: ASYNC220, ASYNC222, ASYNC240 - tests look at the disk and start plain processes between awaits

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from escape_attempts import ATTEMPTS, DRIVER, Attempt
from sandbox_room import PYTHON, TOOLCHAIN, run_as_nobody
from test_lifetime import pids_of, until, zombies

from mohist.sandbox import Landlock, Limits, NoSandboxError, Profile, RefusedError, SandboxError, landlock, run
from mohist.sandbox.binary import Binary
from mohist.sandbox.filter import build_filter
from mohist.sandbox.landlock_keeper import NEEDED_ABI, landlock_abi
from mohist.sandbox.selftest import Memory

able = pytest.mark.skipif(landlock_abi() < NEEDED_ABI, reason="this kernel's Landlock is too old, and is refused")
ordinary = pytest.mark.skipif(os.geteuid() == 0, reason="tried in the ordinary user's run")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")

# What escapes here, and only here: the list is a promise in both directions.
WEAK = {
    "hold a capability",  # the bounding set, of which no_new_privs leaves nothing to be had
    "reach the host by /proc/*/root",  # the name is seen, the content is not to be had
    "find an interface or a route",  # seen, not usable
    "fill /tmp",  # seen, not writable
    "see a host process",
    "plant a git hook",
    "plant in .git/config",
    "replace .git/config",
    "swap .git",
    "plant a submodule's configuration",
    "plant .claude",
    "plant .codex",
    "plant .vscode",
    "plant .github/workflows",
    "plant .mohist",
    "plant .mcp.json",
    "replace .claude",
    "replace .github",
}


@pytest.fixture
def weak(state: Path) -> Landlock:
    return Landlock(accepted="landlock", state=state, grace_s=0.3)


@root
@able
def test_everything_holds_for_an_ordinary_user(nobodys_folder: Path) -> None:
    here = Path(__file__)
    basetemp = str(nobodys_folder / "tmp")
    run_as_nobody(
        nobodys_folder,
        here.parents[2],
        ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", basetemp, str(here)],
    )


# Never uninvited, and refused where it does not hold


@pytest.mark.parametrize("word", ["", "bubblewrap", "off"])
def test_nobody_gets_it_who_did_not_ask_for_it(word: str) -> None:
    with pytest.raises(RefusedError, match="was not asked for"):
        Landlock(accepted=word)


@ordinary
async def test_an_old_kernel_is_refused(
    weak: Landlock, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "landlock_abi", lambda: NEEDED_ABI - 1)
    with pytest.raises(NoSandboxError, match=r"version 5.*6 is needed"):
        await run(
            Landlock(accepted="landlock", state=tmp_path), ["touch", "ran"], cwd=workspace, profile=Profile(workspace)
        )
    assert not (workspace / "ran").exists()
    assert [item.holds for item in await weak.report()] == ["no"]


@root
async def test_root_is_refused_in_its_own_workspace(weak: Landlock, workspace: Path) -> None:
    with pytest.raises(RefusedError, match="can't confine root"):
        await run(weak, ["touch", "ran"], cwd=workspace, profile=Profile(workspace))
    assert not (workspace / "ran").exists()


@root
@able
async def test_root_becomes_the_owner_of_somebody_elses_workspace(tmp_path: Path) -> None:
    # The self-test runs on this interpreter, which another user may not reach; it is the file above that proves it.
    Memory(tmp_path, Binary(Path(PYTHON), (landlock_abi(),)), name="landlock-selftest").keep()
    folder = Path(tempfile.mkdtemp())
    try:
        os.chown(folder, 4321, 4322)
        script = "id -u; id -G; touch made; grep -E 'Cap(Eff|Prm|Bnd|Amb)' /proc/self/status; cat /etc/shadow"
        weak = Landlock(accepted="landlock", state=tmp_path)
        done = await run(weak, ["sh", "-c", script], cwd=folder, profile=Profile(folder))
        lines = done.output.decode().splitlines()
        assert lines[:2] == ["4321", "4322"]
        assert [line.split()[1] for line in lines[2:6]] == ["0" * 16] * 4
        assert "denied" in lines[6]
        assert ((folder / "made").stat().st_uid, (folder / "made").stat().st_gid) == (4321, 4322)
    finally:
        shutil.rmtree(folder)


LEAKS = {
    "host_files": ("_rules", lambda real: lambda *args: [*real(*args), ("/tmp", "look")]),
    "host_writes": ("_rules", lambda real: lambda *args: [*real(*args), ("/tmp", "write")]),
    "shared_memory": ("_rules", lambda real: lambda *args: [*real(*args), ("/dev/shm", "write")]),
    "sockets": ("build_filter", lambda real: lambda machine, **_: real(machine)),
    "kernel_calls": ("build_filter", lambda real: lambda machine, **_: real(machine, debuggers=True)),
    "environment": ("environment", lambda real: lambda *args: {**real(*args), "SOME_PASSWORD": "x"}),
}


@ordinary
@able
@pytest.mark.parametrize("leak", LEAKS)
async def test_one_that_leaks_runs_nothing_and_is_not_remembered(
    leak: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, broken = LEAKS[leak]
    monkeypatch.setattr(landlock, name, broken(getattr(landlock, name)))
    weak = Landlock(accepted="landlock", state=tmp_path / "fresh")
    with pytest.raises(NoSandboxError, match=f"self-test.*{leak}"):
        await run(weak, ["touch", "ran"], cwd=workspace, profile=Profile(workspace))
    assert not (workspace / "ran").exists()
    assert not (tmp_path / "fresh").exists()
    assert (await weak.report())[0].holds == "no"


@ordinary
@able
async def test_it_is_shown_as_weak_and_what_it_promises_holds(weak: Landlock) -> None:
    assert "weak" in weak.name
    found = {item.name: item.holds for item in await weak.report()}
    assert "no" not in found.values()
    assert found["sandbox"] == "weak"
    assert {"git_hooks", "processes_seen", "kernel", "modes"} <= {
        name for name, holds in found.items() if holds == "weak"
    }


# Attempts to break out


@pytest.fixture(scope="module")
def inside(room: Path, repository: Path, state: Path, facts: dict[str, Any]) -> dict[str, str]:
    """What each attempt said, all in one start."""
    workspace = room / "weak"
    folders = [str(shutil.copytree(repository, workspace / str(number))) for number in range(len(ATTEMPTS))]
    argv = [PYTHON, "-I", "-S", "-c", DRIVER, json.dumps({**facts, "folders": folders})]

    async def attempt_all() -> bytes:
        profile = Profile(workspace, extra_readable=TOOLCHAIN)
        done = await run(Landlock(accepted="landlock", state=state), argv, cwd=workspace, profile=profile, timeout_s=60)
        return done.output

    found: dict[str, str] = json.loads(anyio.run(attempt_all))
    return found


@ordinary
@able
@pytest.mark.enable_socket
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name.replace(" ", "-"))
def test_an_attempt_fails_unless_it_is_known_to_work(attempt: Attempt, inside: dict[str, str]) -> None:
    assert ("ESCAPED" in inside[attempt.name]) == (attempt.name in WEAK), inside[attempt.name]


@ordinary
@able
async def test_the_mode_of_a_file_outside_can_be_changed_which_is_why_it_is_said(
    weak: Landlock, workspace: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x", encoding="utf-8")
    await run(weak, ["chmod", "600", str(outside)], cwd=workspace, profile=Profile(workspace))
    assert outside.stat().st_mode & 0o777 == 0o600
    assert any(item.name == "modes" and item.holds == "weak" for item in await weak.report())


@ordinary
@able
async def test_a_planted_hook_is_told(weak: Landlock, workspace: Path) -> None:
    profile = Profile(workspace)
    done = await run(weak, ["sh", "-c", "echo x > .git/hooks/pre-commit"], cwd=workspace, profile=profile)
    assert ".git/hooks/pre-commit" in (done.exit.denied or "")
    script = "printf '[core]\\n' > .git/new; touch -r .git/config .git/new; mv .git/new .git/config; mkdir -p .vscode"
    done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=profile)
    assert ".git/config, .vscode" in (done.exit.denied or "")
    script = "cp -p .git/config k; tr a-z A-Z < k > l; cat l > .git/config; touch -r k .git/config"
    done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=profile)  # same size, same time
    assert done.exit.denied == "changed while it ran, and Landlock can't hold it: .git/config"
    done = await run(weak, ["sh", "-c", "echo y > a.txt; ls .git"], cwd=workspace, profile=profile)
    assert done.exit.denied is None


# Files and network


@ordinary
@able
async def test_a_read_only_workspace_can_be_read_and_not_written(weak: Landlock, workspace: Path) -> None:
    closed = Profile(workspace, writable=False, extra_readable=TOOLCHAIN)
    cut = f"{PYTHON} -I -S -c 'import os; os.truncate(\"a.txt\", 0)'"
    script = f"cat a.txt; echo x > b; rm a.txt; echo y >> a.txt; mv a.txt c; ln a.txt d; mkdir e; {cut}; true > a.txt"
    done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=closed)
    assert done.output.startswith(b"one\n")
    assert sorted(path.name for path in workspace.iterdir()) == [".git", "a.txt"]
    assert (workspace / "a.txt").read_text(encoding="utf-8") == "one\n"


@ordinary
@able
async def test_ordinary_work_is_not_in_the_way(weak: Landlock, workspace: Path) -> None:
    script = """set -e
mkdir -p d/e; echo x > d/e/f; mv d/e/f g; ln g h; ln -s g i; chmod +x g; rm h
echo data > "$TMPDIR/t"; mv "$TMPDIR/t" moved; echo ok > "$HOME/.rc"; echo gone > /dev/null
cat <(echo substituted) | sort; git add g; git -c user.name=a -c user.email=a@example.org commit -q -m m; git log --oneline | wc -l
python3 -c 'import subprocess, sys; sys.exit(subprocess.run(["true"]).returncode)' || test ! -x /usr/bin/python3
"""
    done = await run(weak, ["bash", "-c", script], cwd=workspace, profile=Profile(workspace))
    assert (done.exit.code, done.output) == (0, b"substituted\n2\n"), done.output
    assert (workspace / "moved").read_text(encoding="utf-8") == "data\n"


@ordinary
@able
async def test_its_home_and_temporary_files_go_with_it_read_only_ones_too(weak: Landlock, workspace: Path) -> None:
    script = "mkdir -p $HOME/a/b; echo x > $HOME/a/b/c; ln -s $PWD $TMPDIR/link; chmod 500 $HOME/a/b; chmod 0 $TMPDIR; dirname $HOME"
    done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=Profile(workspace))
    made = Path(done.output.decode().strip())
    assert "mohist-room" in made.name
    assert not made.exists()
    assert (workspace / "a.txt").exists()


@ordinary
@able
@pytest.mark.enable_socket
@pytest.mark.parametrize("network", ["none", "full"])
async def test_the_network_is_there_only_when_asked_for(weak: Landlock, workspace: Path, network: Any) -> None:
    code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('reached')"
    with socket.create_server(("127.0.0.1", 0)) as service:
        argv = [PYTHON, "-I", "-S", "-c", code, str(service.getsockname()[1])]
        profile = Profile(workspace, extra_readable=TOOLCHAIN, network=network)
        done = await run(weak, argv, cwd=workspace, profile=profile)
    assert (b"reached" in done.output) == (network == "full"), done.output


@ordinary
@able
@pytest.mark.enable_socket
async def test_where_the_filter_lets_a_socket_through_landlock_still_refuses_tcp(
    weak: Landlock, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(weak, ["true"], cwd=workspace, profile=Profile(workspace))
    monkeypatch.setattr(landlock, "build_filter", lambda machine, **_: build_filter(machine))
    code = """
import errno, socket, sys
for name, call in {
    "connect": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5),
    "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "abstract": lambda: socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[2]),
}.items():
    try:
        call()
        print(name, "worked")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
"""
    with socket.create_server(("127.0.0.1", 0)) as service, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + workspace.name + str(os.getpid()))
        abstract.listen()
        facts = [str(service.getsockname()[1]), workspace.name + str(os.getpid())]
        profile = Profile(workspace, extra_readable=TOOLCHAIN)
        done = await run(weak, [PYTHON, "-I", "-S", "-c", code, *facts], cwd=workspace, profile=profile)
    assert done.output.split() == [b"connect", b"EACCES", b"listen", b"EACCES", b"abstract", b"EPERM"]


@ordinary
@able
async def test_a_path_that_became_a_link_since_it_was_looked_at_is_refused(
    weak: Landlock, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(weak, ["true"], cwd=workspace, profile=Profile(workspace))
    (tmp_path / "outside" / "below").mkdir(parents=True)
    (workspace / "link").symlink_to(tmp_path / "outside")
    real, before = landlock._rules, open_files()
    for planted in ("link", "link/below"):
        rule = (str(workspace / planted), "write")
        monkeypatch.setattr(landlock, "_rules", lambda *args, rule=rule: [*real(*args), rule])
        with pytest.raises(SandboxError, match="is a link, or lies below one"):
            await run(weak, ["touch", "ran"], cwd=workspace, profile=Profile(workspace))
    assert not (workspace / "ran").exists()
    assert open_files() == before
    assert list(Path(tempfile.gettempdir()).glob("mohist-room-*")) == []


# Life and end


@ordinary
@able
async def test_what_goes_in_and_comes_out(weak: Landlock, workspace: Path) -> None:
    profile = Profile(workspace, env={"EXTRA": "given"})
    fd = os.open(workspace / "a.txt", os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        script = "cat; echo $EXTRA; ls /proc/self/fd | xargs; echo err >&2; exit 3"
        done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=profile)
    finally:
        os.close(fd)
    assert (done.exit.code, done.output) == (3, b"given\n0 1 2 3\nerr\n")
    done = await run(weak, ["no-such-program"], cwd=workspace, profile=profile)
    assert done.exit.code == 127
    assert b"no-such-program" in done.output
    done = await run(weak, ["sh", "-c", "kill -9 $$"], cwd=workspace, profile=profile)
    assert done.exit.code == 128 + signal.SIGKILL
    with pytest.raises(RefusedError):
        await run(weak, ["true"], cwd=workspace.parent, profile=profile)


@ordinary
@able
async def test_what_left_its_session_dies_with_the_main_process(weak: Landlock, workspace: Path) -> None:
    mark = f"611.{os.getpid()}1"
    script = f"setsid setsid sh -c 'trap \"\" TERM HUP; sleep {mark}' >/dev/null 2>&1 & while ! pgrep -f 'slee[p] {mark}' >/dev/null; do :; done"
    done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=Profile(workspace), timeout_s=30)
    assert done.exit.code == 0, done.output
    assert pids_of(mark) == []


@ordinary
@able
async def test_one_that_forks_on_and_on_does_not_slip_away(weak: Landlock, workspace: Path) -> None:
    mark = f"hop{os.getpid()}"
    code = f"import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor _ in range(20):\n  if not os.fork():\n    while True:\n      if os.fork(): os._exit(0)\n      os.setsid()\nprint('up', flush=True)\nsignal.pause() # {mark}"
    profile = Profile(workspace, extra_readable=TOOLCHAIN)
    done = await run(weak, [PYTHON, "-I", "-S", "-c", code], cwd=workspace, profile=profile, timeout_s=1)
    assert done.timed_out
    assert done.output == b"up\n"
    assert pids_of(mark) == []


@ordinary
@able
async def test_the_end_of_one_tree_harms_nobody_else(weak: Landlock, workspace: Path) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        async with await weak.launch(["sleep", "600"], cwd=workspace, profile=Profile(workspace)) as other:
            script = "kill -9 -1; (sleep 600 & sleep 600 &) ; exit 5"
            done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=Profile(workspace))
            assert done.exit.code == 5
            assert Path(f"/proc/{other.pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@ordinary
@able
async def test_term_lets_a_polite_program_clean_up_and_kill_ends_a_deaf_one(weak: Landlock, workspace: Path) -> None:
    script = "trap 'echo bye > cleaned; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    process = await weak.launch(["sh", "-c", script], cwd=workspace, profile=Profile(workspace))
    async with process:
        async for _ in process.output():
            await process.kill()
    assert (workspace / "cleaned").exists()
    assert (await process.wait()).code == 7
    mark = f"611.{os.getpid()}2"
    script = f"trap '' TERM INT HUP; (trap '' TERM; setsid sleep {mark}) & echo up; wait; sleep {mark}"
    done = await run(weak, ["sh", "-c", script], cwd=workspace, profile=Profile(workspace), timeout_s=0.5)
    assert (done.timed_out, done.exit.code, done.output) == (True, 128 + signal.SIGKILL, b"up\n")
    assert pids_of(mark) == []


@ordinary
@able
async def test_cancelling_at_any_time_leaves_no_process_no_descriptor_and_no_litter(
    weak: Landlock, workspace: Path
) -> None:
    await run(weak, ["true"], cwd=workspace, profile=Profile(workspace))
    descriptors, children = open_files(), set(zombies())
    mark = f"611.{os.getpid()}3"
    for checkpoints in (0, 2, 8, 300):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run(weak, ["sleep", mark], cwd=workspace, profile=Profile(workspace)))
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
            if checkpoints > 100:
                await until(lambda: pids_of(mark))
            group.cancel_scope.cancel()
        assert pids_of(mark) == []
    process = await weak.launch(["sleep", "600"], cwd=workspace, profile=Profile(workspace))
    async with anyio.create_task_group() as group:
        for call in (process.kill, process.wait, process.kill):
            group.start_soon(call)
    process.close_output()
    assert open_files() == descriptors
    assert set(zombies()) == children
    assert list(Path(tempfile.gettempdir()).glob("mohist-room-*")) == []


def open_files() -> dict[int, str]:
    """What each descriptor leads to."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists
            found[int(path.name)] = str(path.readlink())
    return found


STARTER = """
import anyio, sys
from pathlib import Path
from mohist.sandbox import Landlock, Profile, run
async def main():
    folder = Path(sys.argv[1])
    script = "trap '' TERM; (setsid sleep " + sys.argv[2] + " &); echo $HOME > up; sleep " + sys.argv[2]
    await run(Landlock(accepted="landlock"), ["sh", "-c", script], cwd=folder, profile=Profile(folder))
anyio.run(main)
"""


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, str]]:
    """A program that runs a deaf tree in a folder, under a mark."""
    folder, mark = tmp_path / "work", f"611.{os.getpid()}4"
    folder.mkdir()
    started = subprocess.Popen([sys.executable, "-c", STARTER, str(folder), mark])
    yield started, folder, mark
    started.kill()
    started.wait()


@ordinary
@able
async def test_the_tree_dies_with_its_starter(starter: tuple[subprocess.Popen[bytes], Path, str]) -> None:
    process, folder, mark = starter
    await until(
        lambda: len(pids_of(mark)) >= 3 and (folder / "up").exists() and (folder / "up").read_text(encoding="utf-8")
    )
    process.kill()
    process.wait()
    await until(lambda: pids_of(mark) == [])
    home = Path((folder / "up").read_text(encoding="utf-8").strip())
    await until(lambda: not home.parent.exists())


@ordinary
@able
async def test_when_its_keeper_is_killed_from_outside_the_command_dies_and_that_is_said(
    weak: Landlock, workspace: Path
) -> None:
    process = await weak.launch(["sleep", "600"], cwd=workspace, profile=Profile(workspace))
    parent = int(Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    with pytest.raises(SandboxError, match="ended from outside"):
        await process.wait()
    await until(lambda: not Path(f"/proc/{process.pid}").exists() or str(process.pid) in zombies())
    with pytest.raises(SandboxError):
        await process.wait()
    await process.kill()
    process.close_output()
    shutil.rmtree(next(Path(tempfile.gettempdir()).glob("mohist-room-*")))
    os.waitpid(process.pid, 0)


@ordinary
@able
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(processes=30), "import os,time\nn=0\ntry:\n  while n < 200:\n    if not os.fork(): time.sleep(600)\n    n+=1\nexcept OSError as e: print('held', n < 150)"),
        (Limits(file_bytes=1 << 20), "import os,signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ntry: os.truncate(os.open('big', os.O_CREAT|os.O_WRONLY), 2<<20)\nexcept OSError: print('held')"),
        (Limits(memory_bytes=128 << 20), "try: bytearray(256 << 20)\nexcept MemoryError: print('held')"),
        (Limits(open_files=64), "import os\ntry:\n  while True: os.dup(0)\nexcept OSError: print('held')"),
        (Limits(cpu_s=1), "print('held', flush=True)\nwhile True: pass"),
    ],
    ids=["fork bomb", "huge file", "memory", "descriptors", "processor time"],
)  # fmt: skip
async def test_a_limit_holds(weak: Landlock, workspace: Path, limits: Limits, code: str) -> None:
    profile = Profile(workspace, extra_readable=TOOLCHAIN, limits=limits)
    done = await run(weak, [PYTHON, "-I", "-S", "-c", code], cwd=workspace, profile=profile, timeout_s=30)
    assert done.output.startswith(b"held"), done.output
    assert b"False" not in done.output
    assert not done.timed_out
    assert ("processor time" in (done.exit.denied or "")) == (limits.cpu_s == 1)
