"""Ranges of versions, read as npm and PEP 440 read them, and once wider, for what is to be kept out.

npm and pip leave pre-releases out of a range that does not name one: right for choosing what to install, wrong for a ban, which
`2.1.91-beta.1` would pass where `<2.1.91` is banned. So a range is read in two ways. Narrow is the ecosystem's own; wide takes in
every pre-release that comes before the range's end or belongs to a release inside, and a version that can't be told.
"""

# mypy: disable-error-code=import-untyped
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from mohist.policy.errors import RegisterError

Scheme = Literal["semver", "pep440"]
"""How a tool's versions are ordered: npm's way (https://semver.org) or PyPI's (https://peps.python.org/pep-0440/)."""

MAX_CHARS: Final = 200
ANY: Final = ("", "*")
_NUMBER: Final = r"(?:0|[1-9]\d{0,8})"
_PART: Final = rf"(?:{_NUMBER}|[xX*])"
_PARTIAL: Final = rf"v?{_PART}(?:\.{_PART}(?:\.{_PART}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?)?"
# node-semver's grammar (https://github.com/npm/node-semver#range-grammar). The library takes what it can't read for a range that
# holds nothing, which would make a ban of it hold for nobody.
_SET: Final = (
    rf"(?:{_PARTIAL}\s+-\s+{_PARTIAL}|(?:(?:[<>]=?|[=~^])?\s*{_PARTIAL})(?:\s+(?:[<>]=?|[=~^])?\s*{_PARTIAL})*)"
)
_NPM: Final = re.compile(rf"\s*{_SET}\s*(?:\|\|\s*{_SET}\s*)*")
_SEMVER: Final = re.compile(
    rf"[v=]?({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_SHORT: Final = re.compile(rf"v?({_NUMBER})(?:\.({_NUMBER}))?")
_LONG: Final = re.compile(rf"v?({_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of versions.

    Args:
        text: npm's form (`<2.1.91`, `^1.2`, `1.x || >=2.3`) or PEP 440's (`>=0.80,<0.86`); empty or `*`: every version.
        scheme: which of the two.

    Raises:
        RegisterError: it can't be read.
    """

    text: str
    scheme: Scheme

    def __post_init__(self) -> None:
        if not self.is_any:
            _parsed(self.text, self.scheme)

    @property
    def is_any(self) -> bool:
        """Every version is in it."""
        return self.text.strip() in ANY

    @property
    def is_exact(self) -> bool:
        """It names one version."""
        text = self.text.strip()
        if self.scheme == "semver":
            return _SEMVER.fullmatch(text) is not None
        return text.startswith("==") and "," not in text and "*" not in text

    def covers(self, version: str, *, wide: bool) -> bool:
        """Whether a version is in it.

        Args:
            version: as the tool says; empty or unreadable: it can't be told.
            wide: for what is to be kept out; see the module.
        """
        if self.is_any:
            return True
        if len(version) > MAX_CHARS:
            return wide
        if self.scheme == "semver":
            return _npm_covers(self.text, version, wide=wide)
        return _pep_covers(self.text, version, wide=wide)

    def is_told(self, version: str) -> bool:
        """Whether `version` is one that this scheme can order."""
        if len(version) > MAX_CHARS:
            return False
        return _semver(version) is not None if self.scheme == "semver" else _pep(version) is not None


def _parsed(text: str, scheme: Scheme) -> Any:
    if len(text) > MAX_CHARS:
        raise RegisterError(f"A range of versions has {len(text)} characters; at most {MAX_CHARS} are read.")
    return _npm(text) if scheme == "semver" else _specifiers(text)


@lru_cache(maxsize=4096)
def _npm(text: str) -> Any:
    import nodesemver

    try:
        if _NPM.fullmatch(text) is None:
            raise ValueError
        return nodesemver.make_range(text, False)
    except ValueError:
        raise RegisterError(
            f"{text!r} is no range of npm versions.",
            "Write it like '<2.1.91', '^1.2', '1.x || >=2.3.1', '2.1.91' or '*'.",
        ) from None


@lru_cache(maxsize=4096)
def _specifiers(text: str) -> Any:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise RegisterError(
            f"{text!r} is no range of PyPI versions.", "Write it like '<0.86', '>=0.80,<0.86', '==0.86.2' or '*'."
        ) from None


def _semver(version: str) -> Any:
    """None: it can't be ordered. Two numbers count as three, and a fourth is left away (Chrome's and Windows' way)."""
    import nodesemver

    text = version.strip()
    if short := _SHORT.fullmatch(text):
        text = f"{short[1]}.{short[2] or 0}.0"
    elif long := _LONG.fullmatch(text):
        text = long[1]
    if _SEMVER.fullmatch(text) is None:
        return None
    try:
        return nodesemver.make_semver(text.lstrip("v="), False)
    except ValueError:
        return None


def _npm_covers(text: str, version: str, *, wide: bool) -> bool:
    import nodesemver

    span, seen = _npm(text), _semver(version)
    if seen is None:
        return wide
    if span.test(seen):
        return True
    if not wide or not seen.prerelease:
        return False
    release = nodesemver.make_semver(f"{seen.major}.{seen.minor}.{seen.patch}", False)
    return bool(span.test(release)) or any(all(_holds(seen, one) for one in each) for each in span.set)


def _holds(version: Any, comparator: Any) -> bool:
    """One comparison by order alone."""
    import nodesemver

    if not comparator.operator:
        return comparator.semver is nodesemver.ANY or bool(nodesemver.cmp(version, "=", comparator.semver, False))
    return bool(nodesemver.cmp(version, comparator.operator, comparator.semver, False))


def _pep(version: str) -> Any:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version)
    except InvalidVersion:
        return None


def _pep_covers(text: str, version: str, *, wide: bool) -> bool:
    specifiers, seen = _specifiers(text), _pep(version)
    if seen is None:
        return wide
    if not wide:
        # Not left to the library, which takes a pre-release where there is no other choice.
        return bool(specifiers.contains(seen, prereleases=bool(specifiers.prereleases)))
    if specifiers.contains(seen, prereleases=True):
        return True
    release = _pep(seen.base_version)
    if seen.is_prerelease and specifiers.contains(release, prereleases=True):
        return True
    return all(_pep_holds(one, seen) for one in specifiers)


def _pep_holds(specifier: Any, version: Any) -> bool:
    """One comparison; where PEP 440 leaves pre- and post-releases of the bound out, by order alone."""
    bound = _pep(specifier.version)
    if bound is not None and specifier.operator == "<":
        return bool(version < bound)
    if bound is not None and specifier.operator == ">":
        return bool(version > bound)
    return bool(specifier.contains(version, prereleases=True))
