"""Licences: which ones a company allows, what an expression says, what a new file says of itself."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mohist.delivery.check.diff import ChangedFile, finding
from mohist.delivery.errors import RuleError
from mohist.delivery.state import Finding

_TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+:-]+")
_TAG = re.compile(r"SPDX-License-Identifier:\s*([^\n*]+?)\s*(?:\*/|-->|\n|$)")
_HEADER = re.compile(r"copyright|SPDX-License-Identifier|licensed under", re.IGNORECASE)
_HEAD_CHARS = 2000
_SOURCES = frozenset(
    {".py", ".js", ".ts", ".tsx", ".jsx", ".go", ".rs", ".java", ".c", ".h", ".cc", ".cpp", ".kt", ".rb", ".cs", ".sh"}
)
_USUAL = 0.8
"""Share of a project's files with a header from which one without is told."""
_FEWEST = 3
# Names that metadata use where they should use SPDX's (https://spdx.org/licenses/).
_NAMES = {
    "mit license": "MIT", "the mit license": "MIT", "expat": "MIT", "apache 2.0": "Apache-2.0", "apache-2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0", "apache license, version 2.0": "Apache-2.0", "apache software license": "Apache-2.0",
    "apache 2": "Apache-2.0", "apache license version 2.0": "Apache-2.0", "bsd": "BSD-3-Clause", "bsd license": "BSD-3-Clause",
    "bsd-3": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "3-clause bsd": "BSD-3-Clause", "bsd 3-clause": "BSD-3-Clause",
    "isc license": "ISC", "isc license (iscl)": "ISC", "mpl 2.0": "MPL-2.0", "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0", "psf": "PSF-2.0", "the unlicense (unlicense)": "Unlicense",
    "gplv3": "GPL-3.0-only", "gnu general public license v3 (gplv3)": "GPL-3.0-only", "gplv2": "GPL-2.0-only",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only", "gnu affero general public license v3": "AGPL-3.0-only",
}  # fmt: skip
_TEXTS = (
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL-3.0-only"), ("GNU LESSER GENERAL PUBLIC LICENSE", "LGPL-3.0-only"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL-3.0-only"), ("GNU Affero General Public License", "AGPL-3.0-or-later"),
    ("GNU Lesser General Public License", "LGPL-3.0-or-later"), ("GNU General Public License", "GPL-3.0-or-later"),
    ("Mozilla Public License, v. 2.0", "MPL-2.0"), ("Server Side Public License", "SSPL-1.0"),
    ("Business Source License", "BUSL-1.1"),
)  # fmt: skip

# What a whole licence says and no other does, in lower case and single spaces; the first that holds all of its words is it.
_WHOLE = (
    ("AGPL-3.0-only", ("gnu affero general public license version 3",)),
    ("LGPL-3.0-only", ("gnu lesser general public license version 3",)),
    ("LGPL-2.1-only", ("gnu lesser general public license version 2.1",)),
    ("GPL-3.0-only", ("gnu general public license version 3",)),
    ("GPL-2.0-only", ("gnu general public license version 2",)),
    ("MPL-2.0", ("mozilla public license version 2.0",)),
    ("EPL-2.0", ("eclipse public license - v 2.0",)),
    ("Apache-2.0", ("apache license version 2.0, january 2004", "grant of patent license")),
    ("BSL-1.0", ("boost software license - version 1.0",)),
    ("CC0-1.0", ("creative commons", "cc0 1.0 universal")),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("Zlib", ("this software is provided 'as-is', without any express or implied warranty", "altered source versions")),
    ("MIT", ("permission is hereby granted, free of charge, to any person obtaining a copy", "shall be included in all")),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose", "copyright notice and this")),
    ("ISC", ("permission to use, copy, modify, and distribute this software for any purpose", "copyright notice and this")),
    ("0BSD", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("BSD-4-Clause", ("redistribution and use in source and binary forms", "all advertising materials")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "endorse or promote products")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
)  # fmt: skip
_AGAINST = re.compile(
    r"commons clause|business source license|server side public license|elastic license|non-?commercial"
)
"""Words that take back what the rest of a text gives, or are of licences that have no name above."""


@dataclass(frozen=True, slots=True)
class LicenceRule:
    """What a company allows."""

    allow: tuple[str, ...] = ()
    """SPDX identifiers; empty: no rule, licences are only told."""

    def judge(self, expression: str) -> bool | None:
        """Whether an SPDX expression is allowed; None: there is no rule, or the expression is not understood."""
        if not self.allow or not expression:
            return None
        return _Expression(expression, {name.lower() for name in self.allow}).value()


def read_rule(text: str) -> LicenceRule:
    """The table `[licences]` of `.mohist/deliver.toml`: `allow = ["MIT", "Apache-2.0"]`. Raises RuleError."""
    try:
        table = tomllib.loads(text).get("licences", {})
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"`.mohist/deliver.toml` is not TOML: {error}.", "Correct it in the base branch.") from None
    allow = table.get("allow", []) if isinstance(table, dict) else None
    unknown = sorted(set(table) - {"allow"}) if isinstance(table, dict) else []
    if not isinstance(allow, list) or not all(isinstance(name, str) for name in allow) or unknown:
        what = f"`{unknown[0]}` is no key" if unknown else "`allow` must be a list of SPDX identifiers"
        raise RuleError(f"In `[licences]` of `.mohist/deliver.toml` {what}.", 'Write allow = ["MIT", "Apache-2.0"].')
    return LicenceRule(tuple(allow))


def spdx(text: str) -> str:
    """SPDX's name for what metadata say; as it was where it is one already, empty where it is a whole text."""
    flat = " ".join(text.split())
    if flat.lower() in _NAMES:
        return _NAMES[flat.lower()]
    return flat if len(flat) <= 80 and re.fullmatch(r"[A-Za-z0-9.+\-() :/]+", flat) else ""


def licence_of_text(text: str) -> str:
    """SPDX's name of a licence by its whole text; empty where it is none of the usual ones, or more is said beside it."""
    flat = " ".join(re.sub(r"[\u2018\u2019`]", "'", text).lower().split())
    if not flat or _AGAINST.search(flat):
        return ""
    return next((name for name, words in _WHOLE if all(word in flat for word in words)), "")


def header_findings(files: Sequence[ChangedFile], others: Mapping[str, str], rule: LicenceRule) -> list[Finding]:
    """What new files say of their licence.

    Args:
        others: some files of the base, to see whether it is usual here to say anything.
    """
    usual = _usual(others)
    found = []
    for file in files:
        if file.letter != "A" or file.after is None:
            continue
        head = file.after[:_HEAD_CHARS]
        tag = _TAG.search(head)
        licence = tag[1] if tag else next((name for text, name in _TEXTS if text in head), "")
        line = head[: tag.start()].count("\n") + 1 if tag else 1
        if licence and rule.judge(licence) is False:
            text = f"This new file is under {licence}, which is not allowed."
            found.append(finding("licence", "major", text, file.path, line))
        elif PurePosixPath(file.path).suffix in usual and not _HEADER.search(head) and file.after.strip():
            text = "This new file says nothing of its licence, as the others here do."
            found.append(finding("licence-header", "minor", text, file.path, 1))
    return found


def _usual(others: Mapping[str, str]) -> frozenset[str]:
    """Suffixes of source files that nearly always begin with a licence."""
    kinds: dict[str, list[bool]] = {}
    for path, text in others.items():
        suffix = PurePosixPath(path).suffix
        if suffix in _SOURCES and text.strip():
            kinds.setdefault(suffix, []).append(bool(_HEADER.search(text[:_HEAD_CHARS])))
    return frozenset(k for k, seen in kinds.items() if len(seen) >= _FEWEST and sum(seen) >= _USUAL * len(seen))


class _Expression:
    """Reads an SPDX expression: OR is enough with one side, AND needs both, WITH names an exception."""

    def __init__(self, text: str, allowed: set[str]) -> None:
        self._tokens = _TOKEN.findall(text.replace("/", " OR "))
        self._allowed = allowed
        self._at = 0

    def value(self) -> bool | None:
        found = self._either()
        return found if self._at == len(self._tokens) else None

    def _either(self) -> bool | None:
        sides = [self._both()]
        while self._take("OR"):
            sides.append(self._both())
        if any(side is True for side in sides):
            return True
        return None if any(side is None for side in sides) else False

    def _both(self) -> bool | None:
        sides = [self._one()]
        while self._take("AND"):
            sides.append(self._one())
        if any(side is False for side in sides):
            return False
        return None if any(side is None for side in sides) else True

    def _one(self) -> bool | None:
        if self._take("("):
            inner = self._either()
            return inner if self._take(")") else None
        if self._at >= len(self._tokens):
            return None
        name = self._tokens[self._at].lower()
        self._at += 1
        if self._take("WITH") and self._at < len(self._tokens):
            name_with = f"{name} with {self._tokens[self._at].lower()}"
            self._at += 1
            return name in self._allowed or name_with in self._allowed
        return name in self._allowed

    def _take(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].upper() == word:
            self._at += 1
            return True
        return False
