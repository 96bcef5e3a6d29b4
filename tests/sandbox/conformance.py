"""Runs every known attempt to get out of the sandbox, in each backend and without one, and prints what held."""

# ruff: noqa: ASYNC240 - a program of its own that waits for nothing else

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio
from escape_attempts import ATTEMPTS, DRIVER
from escape_host import host
from escape_room import CONFINED, Place
from escape_way import WAYS, try_ways
from sandbox_room import NOBODY, PYTHON, TOOLCHAIN, as_nobody, host_git
from test_landlock import WEAK

from mohist.sandbox import Bubblewrap, Landlock, Profile, Sandbox, run
from mohist.sandbox.landlock_keeper import NEEDED_ABI, landlock_abi

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {
    "files": range(21), "processes": range(21, 34), "kernel": range(34, 46), "sockets and network": range(46, 60),
    "limits": range(60, 66), "what runs tomorrow": range(66, 71), "fence": range(87, 200),
}  # fmt: skip
# The numbers are those of the list of probes that docs/threats/sandbox.md names; what came later follows without one.
NUMBERS = {
    "read a secret by path": 1, "read it through a link": 2, "read it by ..": 3, "write a host file": 4, "hardlink it in": 5,
    "rename it in": 6, "write through a link": 7, "reopen a path descriptor": 8, "open_by_handle_at": 9, "make a block device": 10,
    "find devices of the host": 11, "write /usr": 12, "write /etc/passwd": 12, "leave a setuid file by chmod": 13,
    "leave a setuid file by open": 13, "leave a setuid file by openat2": 13, "leave a setuid file by mknod": 13,
    "read a host process's environment": 14, "reach the host by /proc/1/root": 15, "reach the host by /proc/*/root": 16,
    "see a host process": 17, "write core_pattern": 18, "write the running interpreter": 19, "read the kernel's memory": 20,
    "inherit a descriptor": 21, "inherit a variable": 22, "signal a host process": 23, "ptrace a host process": 24, "ptrace": 25,
    "process_vm_readv": 26, "pidfd_getfd": 27, "raise the priority": 30, "become root": 31, "gain rights by setuid programs": 32,
    "hold a capability": 33, "nested user namespace": 34, "clone3": 35, "mount": 36, "remount": 37, "open_tree": 38, "fsopen": 38,
    "chroot": 39, "pivot_root": 39, "setns": 40, "bpf": 41, "perf_event_open": 42, "io_uring": 43, "keyctl": 44, "userfaultfd": 44,
    "x32 calls": 45, "abstract socket of the host": 46, "path socket of the host": 47, "find a socket of the host": 48,
    "shared memory of the host": 49, "/dev/shm of the host": 50, "terminal injection": 51, "terminal injection, high bits": 52,
    "packet socket": 53, "raw socket": 53, "vsock socket": 53, "netlink beyond routes": 53, "loopback service of the host": 54,
    "find an interface or a route": 55, "datagrams to the host (DNS)": 56, "loopback service of the host by IPv6": 57,
    "route to a metadata service": 58, "fill /tmp": 60, "fill /dev": 60, "plant a git hook": 66, "plant in .git/config": 67,
    "replace .git/config": 67, "plant a submodule's configuration": 67, "swap .git": 68,
}  # fmt: skip
BY_TESTS = (
    ("71-75", "set-up led through planted links", ("test_mask.py", "planted_link")),
    ("76-86", "host git on a tree that an agent wrote; plain git runs what is planted", ("test_git_door.py", "planted_code or hardening")),
)  # fmt: skip


@dataclass
class Row:
    """One attempt: what came of it in each place, True when it got out, None where it was not tried."""

    number: int
    name: str
    found: dict[str, bool | None] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    """Places where it is known, and said, to get out."""


def main() -> int:
    """0 when all came out as said."""
    parser = argparse.ArgumentParser(prog="scripts/test-sandbox", description=__doc__)
    parser.add_argument("--summary", action="store_true", help="one line a group")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    rows = anyio.run(measure)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    if os.geteuid() == 0:
        rows = join(rows, measure_as_nobody())
    show(rows, summary=asked.summary)
    wrong = [text for row in rows for text in judge(row)]
    for numbers, what, test in BY_TESTS:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "sandbox" / test[0]), "-k", test[1]],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        print(f"{numbers} {what}: {done.stdout.strip().splitlines()[-1]}")
        wrong += [f"{numbers} {what}"] * (done.returncode != 0)
    for text in wrong:
        print(f"wrong: {text}")
    return 1 if wrong else 0


async def measure() -> list[Row]:
    """As whoever runs this."""
    user = "root" if os.geteuid() == 0 else "user"
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as temp:
        room = Path(temp).resolve()
        repository = make_repository(room)
        places: list[tuple[str, Sandbox | None]] = [(f"bubblewrap, {user}", Bubblewrap(state=room, grace_s=0.3))]
        if user == "user" and landlock_abi() >= NEEDED_ABI:
            places.append(("landlock, user", Landlock(accepted="landlock", state=room, grace_s=0.3)))
        places.append((f"none, {user}", None))
        with host(room) as facts:
            for place, sandbox in places:
                for name, escaped in (await attempt_all(room / place, repository, facts, sandbox, user)).items():
                    row = rows.setdefault(name, Row(number_of(name), name, known=known(name)))
                    row.found[place] = escaped
        for case in CONFINED:
            row = rows.setdefault(case.name, Row(case.number, case.name, known=case.known))
            for place, sandbox in places:
                if case.fits(place):
                    folder = Path(
                        shutil.copytree(
                            repository, room / "case" / place / str(case.number) / case.name.replace("/", " ")
                        )
                    )
                    row.found[place] = await case.attempt(Place(sandbox, folder))
        bubblewrap = places[0][1]
        assert isinstance(bubblewrap, Bubblewrap)
        for way, (inside, outside) in (await try_ways(bubblewrap, repository)).items():
            rows[way] = Row(WAYS[way], way, {places[0][0]: inside, f"none, {user}": outside})
        bubblewrap.close()
    return sorted(rows.values(), key=lambda row: (row.number, row.name))


async def attempt_all(
    room: Path, repository: Path, facts: dict[str, Any], sandbox: Sandbox | None, user: str
) -> dict[str, bool]:
    """Each attempt's word, by name. Without a sandbox those only that show something there and hurt nobody."""
    room.mkdir()
    if isinstance(sandbox, Bubblewrap):  # all in one workspace, whose masks are part of what is tried
        workspace = room.with_name("workspace")  # beside the secret, for ".."
        shutil.copytree(repository, workspace)
        given, argv_facts = workspace, facts
    else:
        tried = [each for each in ATTEMPTS if sandbox is not None or each.proof == "anybody" or each.proof == user]
        given = room.parent / ("outside" if sandbox is None else "weak")  # a secret lies in "outside", for ".."
        folders = [str(shutil.copytree(repository, given / f"{room.name}-{n}")) for n in range(len(tried))]
        argv_facts = {**facts, "attempts": {each.name: each.code for each in tried}, "folders": folders}
    argv = [PYTHON, "-I", "-S", "-c", DRIVER, json.dumps(argv_facts)]
    if sandbox is None:
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(argv, capture_output=True, timeout=120, check=True, close_fds=False)
        )
        said = done.stdout
    else:
        said = (
            await run(sandbox, argv, cwd=given, profile=Profile(given, extra_readable=TOOLCHAIN), timeout_s=120)
        ).output
    return {name: "ESCAPED" in text for name, text in json.loads(said).items()}


def make_repository(room: Path) -> Path:
    """One commit, and a folder for hooks."""
    folder = room / "made" / "repository"
    folder.mkdir(parents=True)
    host_git(folder, "init", "--quiet", "--template=", "--initial-branch=main")
    (folder / ".git" / "hooks").mkdir()
    (folder / "a.txt").write_text("one\n", encoding="utf-8")
    host_git(folder, "add", "a.txt")
    host_git(folder, "commit", "--quiet", "-m", "first")
    return folder


def number_of(name: str) -> int:
    """Of an attempt; 69 for what is planted, 0 for what came after the list."""
    return NUMBERS.get(name, 69 if name.startswith(("plant .", "replace .")) else 0)


def known(name: str) -> tuple[str, ...]:
    """Where an attempt gets out, as docs/threats/sandbox.md says."""
    return ("landlock, user",) if name in WEAK else ()


def measure_as_nobody() -> list[Row]:
    """The same as a user without any rights."""
    folder = Path(tempfile.mkdtemp(prefix="mohist-user-"))
    try:
        os.chown(folder, NOBODY, NOBODY)
        done = as_nobody(folder, ROOT, [str(Path(__file__).resolve()), "--json"], timeout_s=600)
    finally:
        shutil.rmtree(folder)
    if done.returncode != 0:
        raise SystemExit(f"The ordinary user's run failed:\n{done.stderr[-3000:]}")
    return [Row(**{**row, "known": tuple(row["known"])}) for row in json.loads(done.stdout.splitlines()[-1])]


def join(ours: list[Row], theirs: list[Row]) -> list[Row]:
    """One row an attempt."""
    by_name = {row.name: row for row in ours}
    for row in theirs:
        by_name.setdefault(row.name, Row(row.number, row.name, known=row.known)).found.update(row.found)
    return sorted(by_name.values(), key=lambda row: (row.number or 1000, row.name))


def places_of(rows: list[Row]) -> list[str]:
    """The columns: sandboxes first."""
    order = ["bubblewrap, user", "bubblewrap, root", "landlock, user", "none, user", "none, root"]
    return [place for place in order if any(place in row.found for row in rows)]


def proven(row: Row) -> bool:
    """Whether the attempt got out anywhere, which shows that it can tell."""
    return any(escaped for place, escaped in row.found.items() if place.startswith("none"))


def judge(row: Row) -> list[str]:
    """What came out otherwise than said."""
    wrong = []
    for place, escaped in row.found.items():
        if place.startswith("none") or escaped is None:
            continue
        if escaped and place not in row.known:
            wrong.append(f"{row.number} {row.name}: got out of {place}")
        if not escaped and place in row.known:
            wrong.append(f"{row.number} {row.name}: is said to get out of {place}, and did not")
    tried = [escaped for place, escaped in row.found.items() if place.startswith("none") and escaped is not None]
    if tried and not any(tried):
        wrong.append(f"{row.number} {row.name}: does not get out without a sandbox either, so it shows nothing")
    return wrong


def show(rows: list[Row], *, summary: bool) -> None:
    """A Markdown table and the sums."""
    places = places_of(rows)
    if not summary:
        print("| # | attempt | " + " | ".join(places) + " |")
        print("|---" * (len(places) + 2) + "|")
        for row in rows:
            cells = [_cell(row.found.get(place), place) for place in places]
            print(f"| {row.number or '+'} | {row.name} | " + " | ".join(cells) + " |")
        print()
    print("| group | " + " | ".join(places) + " | shown to detect |")
    print("|---" * (len(places) + 2) + "|")
    for name, numbers in {**GROUPS, "later": range(1)}.items():
        chosen = [row for row in rows if row.number in numbers and (row.number or name == "later")]
        if chosen:
            print(f"| {name} | " + _sums(chosen, places) + " |")
    print("| **all** | " + _sums(rows, places) + " |")


def _cell(escaped: bool | None, place: str) -> str:
    if escaped is None:
        return "–"
    if place.startswith("none"):
        return "gets out" if escaped else "–"
    return "**gets out**" if escaped else "held"


def _sums(rows: list[Row], places: list[str]) -> str:
    cells = []
    for place in places:
        found = [row.found[place] for row in rows if row.found.get(place) is not None]
        cells.append(f"{found.count(place.startswith('none'))} of {len(found)}" if found else "–")
    return " | ".join([*cells, f"{sum(proven(row) for row in rows)} of {len(rows)}"])


if __name__ == "__main__":
    raise SystemExit(main())
