"""The folder of evidence on one subject: one JSON file a step, canonical, and the files that they name."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mohist.base import canonical_json, sha256_hex
from mohist.vet.errors import DossierError
from mohist.vet.evidence import Evidence
from mohist.vet.finding import CERTAINTIES, SEVERITIES, STEPS, Finding, Step, ranked

SCHEMA = "mohist.vet.step/1"


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that was not looked at, wholly or in part; it never counts as clean."""

    where: str
    why: str
    """A sentence's end: "is encrypted"."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one step has to say."""

    step: Step
    subject: str
    """As it was named: "npm:some-client@1.2.3"."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The step's own inventory, JSON without floats; its shape is documented by the step."""
    findings: tuple[Finding, ...] = ()
    unread: tuple[Unread, ...] = ()


class Dossier:
    """Evidence in a folder, made when the first step is written.

    `<step>.json` is a `Record`; `files/` holds what the steps attach. Written whole or not at all, readable by the owner alone.

    Args:
        folder: of this subject and this vetting only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, record: Record) -> str:
        """Keeps what a step has to say, in place of what it said before.

        Returns:
            The SHA-256 of the file, in hex.

        Raises:
            DossierError: it can't be written, or facts hold what is no JSON.
        """
        try:
            data = canonical_json(_to_json(record)) + b"\n"
        except (TypeError, ValueError) as error:
            raise DossierError(
                f"What step {record.step!r} found can't be written down: {error}.", audience="bug"
            ) from None
        self._put(self.folder / f"{record.step}.json", data)
        return sha256_hex(data)

    def read(self, step: Step) -> Record | None:
        """What a step said; None: it has not been done.

        Raises:
            DossierError: the file is damaged or of another form.
        """
        path = self.folder / f"{step}.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DossierError(f"{path} can't be read: {error.strerror}.") from None
        try:
            return _from_json(json.loads(data), step)
        except (KeyError, TypeError, ValueError) as error:
            raise DossierError(
                f"{path} is not evidence of the form {SCHEMA} ({error!r}).", "Vet the subject again."
            ) from None

    def records(self) -> tuple[Record, ...]:
        """All steps that are done, in their order."""
        found = (self.read(step) for step in STEPS)
        return tuple(record for record in found if record is not None)

    def attach(self, name: str, data: bytes) -> str:
        """Keeps a file beside the steps.

        Args:
            name: relative, with `/`: "sbom.cdx.json", "requests/3.json".

        Returns:
            Its path within the folder, to be named in facts and evidence: "files/sbom.cdx.json".

        Raises:
            DossierError: it can't be written, or the name leads elsewhere.
        """
        pure = PurePosixPath(name)
        if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in name:
            raise DossierError(f"{name!r} is no name of a file in a dossier.", audience="bug")
        self._put(self.folder / "files" / pure, data)
        return f"files/{pure}"

    def attached(self, path: str) -> bytes:
        """A file that was attached, by the path that `attach` gave.

        Raises:
            DossierError: there is none.
        """
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise DossierError(f"{path!r} of the dossier can't be read: {error.strerror}.") from None

    def _put(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise DossierError(
                f"{path} can't be written: {error.strerror}.", "Make room or name another folder."
            ) from None


def _to_json(record: Record) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "step": record.step,
        "subject": record.subject,
        "facts": dict(record.facts),
        "findings": [finding_json(finding) for finding in ranked(record.findings)],
        "unread": [{"where": one.where, "why": one.why} for one in record.unread],
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as it stands in evidence files and reports."""
    return {
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity,
        "certainty": finding.certainty,
        "step": finding.step,
        "what": finding.what,
        "repeat": finding.repeat,
        "evidence": [
            {
                "where": one.where,
                "excerpt": one.excerpt,
                "offset": one.offset,
                "line": one.line,
                "facts": [list(fact) for fact in one.facts],
            }
            for one in finding.evidence
        ],
    }


def _from_json(value: Any, step: Step) -> Record:
    if value["schema"] != SCHEMA or value["step"] != step:
        raise ValueError(value["schema"])
    return Record(
        step=step,
        subject=_text(value["subject"]),
        facts=dict(value["facts"]),
        findings=tuple(_finding(one) for one in value["findings"]),
        unread=tuple(Unread(_text(one["where"]), _text(one["why"])) for one in value["unread"]),
    )


def _finding(value: Any) -> Finding:
    return Finding(
        rule=_text(value["rule"]),
        title=_text(value["title"]),
        severity=_one_of(value["severity"], SEVERITIES),
        certainty=_one_of(value["certainty"], CERTAINTIES),
        step=_one_of(value["step"], STEPS),
        what=_text(value["what"]),
        evidence=tuple(
            Evidence(
                where=_text(one["where"]),
                excerpt=_text(one["excerpt"]),
                offset=int(one["offset"]),
                line=int(one["line"]),
                facts=tuple((_text(name), _text(fact)) for name, fact in one["facts"]),
            )
            for one in value["evidence"]
        ),
        repeat=_text(value["repeat"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _one_of(value: Any, known: Sequence[Any]) -> Any:
    if value not in known:
        raise ValueError(value)
    return value
