"""A commit's runs in the words of others: a Git AI authorship log, and an Agent Trace record; and how both get into a repository.

Projections: they can be made again from the ledger at any time, prove nothing by themselves, and name no person. Forms:
https://github.com/git-ai-project/git-ai/blob/main/specs/git_ai_standard_v3.0.0.md and https://github.com/cursor/agent-trace (0.1.0).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mohist import __version__
from mohist.agent.attribution import OWN, TRACE_VERSION
from mohist.report.map import Mapped
from mohist.report.trace import Traced
from mohist.report.writing import Write
from mohist.sandbox import Git, GitError

GIT_AI_REF = "refs/notes/ai"
TRACE_REF = "refs/notes/agent-trace"
SCHEMA = "authorship/3.0.0"
TOOL = "mohist"
ID_DIGITS = 14
"""Of the hashes in Git AI's keys (1.2.3.1)."""
_AUTHOR = "mohist <mohist@localhost>"


def git_ai(mapped: Mapped, origin: str) -> str:
    """The commit as a Git AI authorship log; empty: no line of a known run is in it.

    Args:
        mapped: the commit.
        origin: the ledger's name.
    """
    sessions: dict[str, Any] = {}
    parts = []
    for path, lines in sorted(mapped.lines.items()):
        if '"' in path or "\n" in path:
            continue  # the form has no way to write it (1.2.3)
        keys = []
        for write, numbers in _by_write(lines):
            session = "s_" + _short(f"{TOOL}:{write.run}")
            attributes = {"ledger": origin, **({"delivery": write.delivery} if write.delivery else {})}
            sessions[session] = {
                "agent_id": {"tool": TOOL, "id": write.run, "model": write.model},
                "custom_attributes": attributes,
            }
            spans = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in _ranges(numbers))
            keys.append(f"  {session}::t_{_short(f'{origin}:{write.entry}')} {spans}")
        if keys:
            parts += [f'"{path}"' if any(one.isspace() for one in path) else path, *keys]
    if not parts:
        return ""
    about = {
        "schema_version": SCHEMA,
        "base_commit_sha": mapped.change.commit,
        "prompts": {},
        "sessions": dict(sorted(sessions.items())),
    }
    return "\n".join(parts) + "\n---\n" + json.dumps(about, indent=2, ensure_ascii=False)


def agent_trace(mapped: Mapped, origin: str) -> str:
    """The commit as an Agent Trace record; empty: no line of a known run is in it."""
    files = []
    for path, lines in sorted(mapped.lines.items()):
        conversations: dict[tuple[str, str], list[dict[str, int]]] = defaultdict(list)
        for write, numbers in _by_write(lines):
            about = f"urn:mohist:run:{write.run}" + (f":{write.prompt}" if write.prompt is not None else "")
            conversations[about, write.model] += [
                {"start_line": first, "end_line": last} for first, last in _ranges(numbers)
            ]
        if conversations:
            told: list[dict[str, Any]] = [
                {
                    "url": url,
                    "contributor": {"type": "ai", "model_id": model},
                    "ranges": sorted(ranges, key=_start),
                }
                for (url, model), ranges in sorted(conversations.items())
            ]
            files.append({"path": path, "conversations": told})
    if not files:
        return ""
    at = datetime.fromtimestamp(mapped.change.time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entries = mapped.entries
    record = {
        "version": TRACE_VERSION,
        "id": str(uuid5(NAMESPACE_URL, f"urn:mohist:{origin}:{mapped.change.commit}")),
        "timestamp": at,
        "vcs": {"type": "git", "revision": mapped.change.commit},
        "tool": {"name": TOOL, "version": __version__},
        "files": files,
        "metadata": {OWN: {"ledger": origin, "entries": entries, "confidence": mapped.confidence}},
    }
    return json.dumps(record, indent=2, ensure_ascii=False)


async def write_notes(git: Git, ref: str, notes: Mapping[str, str], at_s: int) -> tuple[int, list[str]]:
    """Puts notes on commits of the user's repository, all with one `git fast-import`; what others noted stays as it is.

    Args:
        git: the repository.
        ref: of the notes.
        notes: texts by commit.
        at_s: when, seconds since 1970.

    Returns:
        How many were written, and the commits that have another's note.

    Raises:
        GitError: they could not be written; none is then.
    """
    try:
        before = await git.resolve(ref)
    except GitError:
        before = ""
    known = await _noted(git, before) if before else {}
    others = [one for one in notes if one in known and not _is_ours(known[one])]
    fresh = {
        one: text for one, text in notes.items() if one not in others and known.get(one, "").rstrip() != text.rstrip()
    }
    if fresh:
        await git.take_in(_stream(ref, before, fresh, at_s))
    return len(fresh), others


def _stream(ref: str, before: str, notes: Mapping[str, str], at_s: int) -> bytes:
    """What fast-import reads (git-fast-import(1), `notemodify`)."""
    message = b"Notes from the ledger\n"
    parts = [f"commit {ref}\ncommitter {_AUTHOR} {at_s} +0000\ndata {len(message)}\n".encode(), message]
    if before:
        parts.append(f"from {before}\n".encode())
    for commit, text in notes.items():
        data = f"{text}\n".encode("utf-8", "replace")
        parts += [f"N inline {commit}\ndata {len(data)}\n".encode(), data, b"\n"]
    return b"".join([*parts, b"done\n"])


async def _noted(git: Git, notes: str) -> dict[str, str]:
    """The notes that there are, by commit: their tree's paths are the commits' ids, cut into folders."""
    rows = (await git.read("ls-tree", "-r", "-z", notes)).split("\0")
    places = {row.partition("\t")[2].replace("/", ""): row.split()[2] for row in rows if "\t" in row}
    data = await git.read_bytes("cat-file", "--batch", given="".join(f"{one}\n" for one in places.values()).encode())
    found, at = {}, 0
    for commit in places:
        head, _, _ = data[at:].partition(b"\n")
        size = int(head.split()[2])
        at += len(head) + 1
        found[commit] = data[at : at + size].decode("utf-8", "replace")
        at += size + 1
    return found


def _is_ours(note: str) -> bool:
    """Whether Mohist wrote a note: one that another program wrote or added to is its own."""
    try:
        about = json.loads(note.partition("\n---\n")[2] or note)
    except ValueError:
        return False
    if not isinstance(about, dict):
        return False
    if "sessions" not in about:
        return OWN in about.get("metadata", {})
    named = [one.get("agent_id", {}).get("tool") for one in about["sessions"].values()]
    return not about.get("prompts") and not about.get("humans") and set(named) == {TOOL}


def _by_write(lines: Iterable[Traced]) -> list[tuple[Write, list[int]]]:
    found: dict[int, tuple[Write, list[int]]] = {}
    for one in lines:
        if one.write is not None:
            found.setdefault(one.write.entry, (one.write, []))[1].append(one.origin.number)
    return [found[entry] for entry in sorted(found)]


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _start(span: Mapping[str, int]) -> int:
    return span["start_line"]


def _short(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:ID_DIGITS]
