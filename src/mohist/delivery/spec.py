"""The spec's file, `.mohist/deliveries/<id>/spec.md`: read tolerantly in prose, strictly in criteria, checks and ids.

    # Title
    ## Requirement · ## Non-goals · ## Design · ## Risks · ## Data touched · ## Irreversible
    ## Acceptance criteria
    ### AC-1
    WHEN something happens THE SYSTEM SHALL do something.
    Check: `python -m pytest -q $SPEC/checks/test_one.py`      (or: Check: manual)
    ## Check files
    ### checks/test_one.py                                     (its content in a fence)

The one file holds all that is agreed, the check files' content too, so its digest covers everything that was approved.
`$SPEC` in a check is the spec's folder. Sections that are not known are a person's notes: they are kept and not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from mohist.base import sha256_hex
from mohist.delivery.errors import SpecError
from mohist.delivery.state import Criterion, Spec

SPEC_FILE: Final = "spec.md"
PLACE: Final = "$SPEC"
"""Stands for the spec's folder in a check's command."""

_PROSE: Final = ("Requirement", "Design")
_LISTS: Final = ("Non-goals", "Risks", "Data touched", "Irreversible")
_CRITERIA, _FILES = "Acceptance criteria", "Check files"
_SECTIONS: Final = ("Requirement", "Non-goals", "Design", "Risks", "Data touched", "Irreversible", _CRITERIA, _FILES)
_NONE: Final = "None."
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_HEADING = re.compile(r"^(#{1,3})\s+(.*?)\s*#*\s*$")
_ID = re.compile(r"^(AC-[1-9][0-9]{0,3})\b[:.]?\s*(?:\((behaviour|quality|manual)\))?[:.]?\s*(.*)$")
_CHECK = re.compile(r"^\s*(?:[-*]\s+)?(?:\*\*)?check(?:\*\*)?:(?:\*\*)?\s*(.*?)\s*$", re.IGNORECASE)
_ITEM = re.compile(r"^\s{0,3}[-*+]\s+(.*)$")
# Easy Approach to Requirements Syntax: https://alistairmavin.com/ears/
_EARS = re.compile(r"\bthe\b.+\bshall\b.+", re.IGNORECASE)
_FILE = re.compile(r"^checks/[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
_USED = re.compile(r"\$(?:SPEC\b|\{SPEC\})(?:/([A-Za-z0-9._/-]*))?")


@dataclass(frozen=True, slots=True)
class CheckFile:
    """A file that a check runs; it lies in the spec's folder."""

    path: str
    """`checks/test_one.py`."""
    content: str
    """Ends with a newline, or is empty."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a spec says, before it is a version."""

    title: str
    requirement: str
    criteria: tuple[Criterion, ...]
    design: str = ""
    non_goals: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    data_touched: tuple[str, ...] = ()
    irreversible: tuple[str, ...] = ()
    files: tuple[CheckFile, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    fenced: bool
    """Inside a fence, or a fence itself."""


def folder_of(delivery_id: str) -> str:
    """The spec's folder in a repository."""
    return f".mohist/deliveries/{delivery_id}"


def spec_of(data: bytes, version: int, delivery_id: str) -> Spec:
    """A version of the spec from the file's bytes; the checks are commands for a copy of the repository.

    Raises:
        SpecError: it can't be used; every reason with its line.
    """
    draft = parse(_text(data))
    criteria = tuple(
        Criterion(one.criterion_id, one.text, command(one.check, delivery_id), one.kind) for one in draft.criteria
    )
    return Spec(version, sha256_hex(data), _text(data), criteria, draft.irreversible)


def command(check: str, delivery_id: str) -> str:
    """A check as it is run from the root of a copy."""
    return check.replace("${SPEC}", PLACE).replace(PLACE, folder_of(delivery_id))


def normal(draft: Draft) -> Draft:
    """The draft as it will be read again: prose without headings of ours, one line an item, files ending in a newline."""
    return Draft(
        _line(draft.title).rstrip("# ") or "Change",
        _prose(draft.requirement),
        tuple(
            Criterion(one.criterion_id, _line(one.text), check := _line(one.check), _kind(one.kind, check))
            for one in draft.criteria
        ),
        _prose(draft.design),
        _items(draft.non_goals),
        _items(draft.risks),
        _items(draft.data_touched),
        _items(draft.irreversible),
        tuple(CheckFile(one.path, _ending(one.content)) for one in draft.files),
    )


def render(draft: Draft) -> str:
    """The file's text. `parse` gives the same draft again, normalised."""
    draft = normal(draft)
    said: Mapping[str, str] = {
        "Requirement": draft.requirement,
        "Non-goals": _bullets(draft.non_goals),
        "Design": draft.design,
        "Risks": _bullets(draft.risks),
        "Data touched": _bullets(draft.data_touched),
        "Irreversible": _bullets(draft.irreversible),
        _CRITERIA: "\n\n".join(_criterion(one) for one in draft.criteria),
        _FILES: "\n\n".join(_file(one) for one in draft.files),
    }
    parts = [f"# {draft.title}"]
    # What can't be taken back is said even where there is nothing: a person must see that it was asked.
    parts += [f"## {name}\n\n{said[name] or _NONE}" for name in _SECTIONS if said[name] or name == "Irreversible"]
    return "\n\n".join(parts) + "\n"


def parse(text: str) -> Draft:
    """What the file says.

    Raises:
        SpecError: criteria, checks or ids can't be used; every reason with its line and what to do.
    """
    problems: list[str] = []
    title, sections = _sections(_lines(text), problems)
    needed = ("Requirement", _CRITERIA)
    problems += [f"line 1: there is no section `## {name}`; add it" for name in needed if name not in sections]
    files = _read_files(sections.get(_FILES, ()), problems)
    criteria = _read_criteria(sections.get(_CRITERIA, ()), {one.path for one in files}, problems)
    if _CRITERIA in sections and not criteria:
        problems.append("there is no criterion; add `### AC-1` with a sentence and a `Check:`")
    if problems:
        raise SpecError(f"{SPEC_FILE} can't be used: {'; '.join(problems)}.")
    prose = {name: _body(sections.get(name, ())) for name in _PROSE}
    lists = {name: _read_items(sections.get(name, ())) for name in _LISTS}
    return Draft(
        title or "Change",
        prose["Requirement"],
        criteria,
        prose["Design"],
        lists["Non-goals"],
        lists["Risks"],
        lists["Data touched"],
        lists["Irreversible"],
        files,
    )


def renumbered(before: Iterable[Spec], after: Sequence[Criterion]) -> tuple[str, ...]:
    """What is wrong with the ids of a new version, a sentence each: an id means the same for ever.

    Args:
        before: every older version.
        after: the new criteria.
    """
    wrong = []
    old: dict[str, str] = {}
    ids_of: dict[str, set[str]] = {}
    newest: frozenset[str] = frozenset()
    for spec in sorted(before, key=lambda one: one.version):
        for one in spec.criteria:
            old[one.criterion_id] = one.text
            ids_of.setdefault(_folded(one.text), set()).add(one.criterion_id)
        newest = frozenset(one.criterion_id for one in spec.criteria)
    for one in after:
        known = ids_of.get(_folded(one.text), set())
        if known and one.criterion_id not in known:
            wrong.append(f"{one.criterion_id} says what {sorted(known)[0]} said; keep {sorted(known)[0]}")
        elif one.criterion_id in old and one.criterion_id not in newest and not known:
            wrong.append(f"{one.criterion_id} meant something else in an older version; take an id that was never used")
    return tuple(wrong)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SpecError(f"{SPEC_FILE} line {line} is not UTF-8.", "Save it as UTF-8.") from None


def _lines(text: str) -> list[_Line]:
    lines, fence = [], ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        found = _FENCE.match(line)
        if fence:
            lines.append(_Line(number, line, fenced=True))
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
        elif found and not (found[1][0] == "`" and "`" in found[2]):
            fence = found[1]
            lines.append(_Line(number, line, fenced=True))
        else:
            lines.append(_Line(number, line, fenced=False))
    return lines


def _sections(lines: Sequence[_Line], problems: list[str]) -> tuple[str, dict[str, list[_Line]]]:
    title = ""
    sections: dict[str, list[_Line]] = {}
    here: list[_Line] = []
    names = {name.lower(): name for name in _SECTIONS}
    for line in lines:
        found = None if line.fenced else _HEADING.match(line.text)
        if found and len(found[1]) == 1:
            title = title or " ".join(found[2].split())
            here = []
        elif found and len(found[1]) == 2:
            name = names.get(found[2].lower(), found[2])
            if name in sections and name in _SECTIONS:
                problems.append(f"line {line.number}: a second `## {name}`; join the two")
            here = sections.setdefault(name, [])
        else:
            here.append(line)
    return title, sections


def _parts(lines: Sequence[_Line]) -> list[tuple[_Line, str, list[_Line]]]:
    parts: list[tuple[_Line, str, list[_Line]]] = []
    for line in lines:
        found = None if line.fenced else _HEADING.match(line.text)
        if found and len(found[1]) == 3:
            parts.append((line, found[2], []))
        elif parts:
            parts[-1][2].append(line)
    return parts


def _read_criteria(lines: Sequence[_Line], files: set[str], problems: list[str]) -> tuple[Criterion, ...]:
    criteria: dict[str, Criterion] = {}
    for line, heading, body in _parts(lines):
        found = _ID.match(heading)
        if not found:
            problems.append(f"line {line.number}: {heading!r} is no id; write `### AC-1`, with a number of its own")
            continue
        name, kind = found[1], found[2]
        if name in criteria:
            problems.append(f"line {line.number}: {name} is there twice; give one an id that was never used")
        checks = [(row.number, said[1]) for row in body if not row.fenced and (said := _CHECK.match(row.text))]
        words = [row.text for row in body if row.fenced or not _CHECK.match(row.text)]
        text = _line(" ".join([found[3], *words]))
        if not _EARS.search(text):
            problems.append(f"line {line.number}: {name} must read `WHEN … THE SYSTEM SHALL …`")
        if len(checks) != 1:
            how = "has no check" if not checks else "has more than one check"
            problems.append(
                f"line {line.number}: {name} {how}; write one line ``Check: `command` `` or `Check: manual`"
            )
            continue
        number, check = checks[0][0], _unquoted(checks[0][1])
        if not check:
            problems.append(f"line {number}: the check of {name} is empty; write a command, or `manual`")
        if check.lower() == "manual":
            check = ""
        problems += [f"line {number}: {told}" for told in _missing(check, files)]
        criteria[name] = Criterion(name, text, check, _kind(kind, check))
    return tuple(criteria.values())


def _missing(check: str, files: set[str]) -> list[str]:
    told = []
    for used in _USED.findall(check):
        path = used.rstrip("/")
        if path not in files and not any(file.startswith(f"{path}/") for file in files):
            told.append(f"the check runs `{PLACE}/{path}`, which is not under `## {_FILES}`; add it there")
    return told


def _kind(said: str | None, check: str) -> Literal["behaviour", "quality", "manual"]:
    if not check:
        return "manual"
    return "quality" if said == "quality" else "behaviour"


def _read_files(lines: Sequence[_Line], problems: list[str]) -> tuple[CheckFile, ...]:
    files: dict[str, CheckFile] = {}
    for line, heading, body in _parts(lines):
        path = heading.strip("`")
        if not is_check_file(path):
            problems.append(f"line {line.number}: {path!r} can't name a check file; write `### checks/NAME`")
            continue
        if path in files:
            problems.append(f"line {line.number}: {path} is there twice; keep one")
        fenced = [row for row in body if row.fenced]
        if len(fenced) < 2 or not _FENCE.match(fenced[-1].text):
            problems.append(f"line {line.number}: {path} has no content; put it between two lines of ```")
            continue
        opening = _FENCE.match(fenced[0].text)
        ends = [at for at, row in enumerate(fenced[1:], 1) if opening and _closes(opening[1], row.text)]
        content = [row.text for row in fenced[1 : ends[0] if ends else -1]]
        files[path] = CheckFile(path, "".join(f"{row}\n" for row in content))
    return tuple(files.values())


def is_check_file(path: str) -> bool:
    """Whether a check file may be called so."""
    return bool(_FILE.match(path)) and ".." not in PurePosixPath(path).parts


def _closes(fence: str, text: str) -> bool:
    found = _FENCE.match(text)
    return bool(found) and text.strip().startswith(fence) and not text.strip().strip(fence[0])


def _body(lines: Sequence[_Line]) -> str:
    return "\n".join(line.text for line in lines).strip("\n").rstrip()


def _read_items(lines: Sequence[_Line]) -> tuple[str, ...]:
    items: list[str] = []
    for line in lines:
        text = line.text.strip()
        if found := _ITEM.match(line.text):
            items.append(found[1].strip())
        elif text and items:
            items[-1] = f"{items[-1]} {text}"
        elif text and text.rstrip(".").lower() not in ("none", "nothing"):
            items.append(text)
    return tuple(one for one in map(_line, items) if one)


def _unquoted(text: str) -> str:
    found = re.fullmatch(r"(`+)(.*?[^`])\1\.?", text)
    if not found:
        return text.strip()
    inner = found[2]
    spaced = len(inner) > 1 and inner[0] == " " and inner[-1] == " "
    return (inner[1:-1] if spaced else inner).strip()


def _quoted(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}" if longest else f"`{text}`"


def _criterion(one: Criterion) -> str:
    kind = " (quality)" if one.kind == "quality" else ""
    return f"### {one.criterion_id}{kind}\n\n{one.text}\n\nCheck: {_quoted(one.check) if one.check else 'manual'}"


def _file(one: CheckFile) -> str:
    longest = max((len(run) for run in re.findall(r"`+", one.content)), default=0)
    fence = "`" * max(3, longest + 1)
    suffix = PurePosixPath(one.path).suffix
    language = {".py": "python", ".sh": "sh", ".js": "js", ".ts": "ts"}.get(suffix, "")
    return f"### {one.path}\n\n{fence}{language}\n{one.content}{fence}"


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _items(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(one for one in (_ITEM.sub(r"\1", _line(item)) for item in items) if one)


def _line(text: str) -> str:
    return " ".join(text.split())


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _ending(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _prose(text: str) -> str:
    """Prose that can't be taken for a heading of ours, nor swallow what comes after it in an open fence."""
    lines = _lines("\n".join(text.replace("\r", "\n").splitlines()).strip("\n").rstrip())
    rows = [row.text if row.fenced else re.sub(r"^#{1,3}(?=\s)", "####", row.text) for row in lines]
    body = "\n".join(rows)
    opened = [row for row in _lines(f"{body}\n\n")[-2:] if row.fenced]
    if opened:
        fence = ""
        for row in lines:
            found = _FENCE.match(row.text)
            if found and not fence:
                fence = found[1]
            elif found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
        body = f"{body}\n{fence}"
    return body
