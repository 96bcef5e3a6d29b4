"""Restricted files by the path that a text names as its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mohist.base import sha256_hex
from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.errors import GuardRuleError
from mohist.guard.view import View

VERSION = "1"
"""Raise it with every change of what is found."""
CALL_MAX_CHARS = 20_000
"""Of a tool call's argument: longer ones are contents, in which only headers are looked for."""
_PATH = r"[^\s\"'<>|:,;()\[\]{}]+"
_TAG_CHARS = 2_000
"""Of a tag's attributes on either side of the one that names a file."""
# How tools and people say which file comes next: diffs, head and tail, grep, tags, "File: …", a comment on the first line.
_HEADERS = re.compile(
    rf"^(?:diff --git a/(?P<a>{_PATH}) b/.*|[-+]{{3}} (?:[abciw]/)?(?P<b>{_PATH}).*|==> (?P<c>.+?) <==|"
    rf"#{{0,6}} ?\W{{0,4}}(?:file(?: ?(?:name|path))?|path|source|文件|路径)\W{{0,3}}[:：=]\W{{0,3}}(?P<d>{_PATH}).*|"
    rf"(?:<documents?>)?<(?:file|document|source|path|document_path|file_path)\b[^>\n]{{0,{_TAG_CHARS}}}?(?:(?:path|name|src|source|filename)=[\"'](?P<e>[^\"'\n]+)[\"'][^>\n]{{0,{_TAG_CHARS}}}+)?>(?P<f>{_PATH})?.*|"
    rf"(?P<g>{_PATH}):\d+[:-].*)$",
    re.IGNORECASE | re.MULTILINE,
)
_FIRST_LINE = re.compile(
    rf"\s*+(?:#|//|/\*|--|;|<!--|```\w*:?)\s*+(?P<path>{_PATH}+)(?:\s*+(?:\*/|-->))?\s*?$", re.MULTILINE
)
_TOKEN = re.compile(_PATH)


class PathDetector:
    """Finds texts that say that they are, or that ask for, a restricted file.

    Args:
        paths: glob -> data class. Globs count from any folder ("services/pricing/**", "*.key", "**/secret/*"); `**` goes over
            folders, `*` and `?` don't; a name that ends in "/" is a folder with all that is in it.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        named = "\n".join(f"{glob}\t{data_class}" for glob, data_class in paths.items())
        # Asked for at each call, so made once.
        self._version = f"{VERSION}.{sha256_hex(named.encode('utf-8'))[:12]}"
        self._rules = [(expression(glob), data_class) for glob, data_class in paths.items()]
        self._stems = [stem for glob in paths if (stem := _stem(glob))] if all(_stem(glob) for glob in paths) else None

    @property
    def name(self) -> str:
        return "path"

    @property
    def version(self) -> str:
        return self._version

    @property
    def patterns(self) -> Sequence[Pattern]:
        return ()

    def class_of(self, path: str) -> str | None:
        """The data class of a path; the first glob that fits decides."""
        plain = path.replace("\\", "/").strip("/")
        return next((data_class for rule, data_class in self._rules if rule.search(plain)), None)

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`."""
        text = view.text
        if not self._rules or not text:
            return
        if block.source == "file":
            data_class = self.class_of(block.path.partition("!")[0])
            if data_class is not None:
                yield Hit("path.file", data_class, 0, len(text), 0.99, "the file stands under a restricted path")
            return
        if self._stems is not None and not any(stem in text for stem in self._stems):
            return
        if block.source == "tool_call" and len(text) <= CALL_MAX_CHARS:
            for token in _TOKEN.finditer(text):
                data_class = self.class_of(token[0])
                if data_class is not None:
                    yield Hit("path.asked-for", data_class, *token.span(), 0.8, "a tool is asked for a restricted file")
            return
        yield from self._parts(text)

    def _parts(self, text: str) -> Iterable[Hit]:
        """Each stretch from a header that names a restricted file to the next header."""
        headers = [
            (match.start(), next((path for path in match.groups() if path), None)) for match in _HEADERS.finditer(text)
        ]
        if not headers and (first := _FIRST_LINE.match(text)) and not {".", "/"}.isdisjoint(first["path"][1:-1]):
            headers = [(0, first["path"])]
        named = [(at, path) for at, path in headers if path]
        for index, (at, path) in enumerate(named):
            data_class = self.class_of(path)
            if data_class is not None and (not index or named[index - 1][1] != path):
                end = next((later for later, other in named[index + 1 :] if other != path), len(text))
                yield Hit("path.named", data_class, at, end, 0.85, "the text says that it comes from a restricted file")


def expression(glob: str) -> re.Pattern[str]:
    """A glob as an expression over a path with forward slashes.

    Raises:
        GuardRuleError: it is empty, absolute beyond the root, or fits everything.
    """
    plain = glob.replace("\\", "/").strip()
    rooted = plain.startswith("/")
    plain = plain.strip("/") + ("/**" if plain.endswith("/") else "")
    if not plain.strip("*/?"):
        raise GuardRuleError(f"The restricted path {glob!r} fits every file.", "Name a folder or an ending.")
    out, at = "", 0
    while at < len(plain):
        if plain.startswith("**/", at):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif plain.startswith("**", at):
            out, at = out + ".*", at + 2
        elif plain[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif plain[at] == "?":
            out, at = out + "[^/]", at + 1
        else:
            out, at = out + re.escape(plain[at]), at + 1
    return re.compile(f"{'^' if rooted else '(?:^|/)'}{out}$")


def _stem(glob: str) -> str:
    """The longest stretch of a glob without wildcards, by which most texts are told to hold no such path."""
    return max(re.split(r"[*?/\\]+", glob), key=len)


def path_detector(paths: Mapping[str, str]) -> PathDetector:
    """The detector for these globs; see `PathDetector`.

    Raises:
        GuardRuleError: a glob fits everything.
    """
    return PathDetector(paths)
