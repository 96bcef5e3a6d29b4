"""Where a candidate stands: its key, its line, the lines about it, and what else its text holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mohist.guard.keyword.candidate import LINE_MAX_CHARS, Candidate
from mohist.guard.keyword.shape import shape, shapes
from mohist.guard.keyword.word import FIXTURE_WORDS, KINDS, NEAR_WORDS, OTHER_THINGS

LANGUAGES = {
    "script": ("py", "rb", "pl", "lua", "r", "ex", "exs", "php", "groovy", "jl"),
    "web": ("js", "ts", "jsx", "tsx", "mjs", "cjs", "vue", "coffee", "svelte"),
    "compiled": ("go", "java", "kt", "cs", "c", "h", "cpp", "hpp", "cc", "rs", "swift", "scala", "m", "mm", "hs", "d", "zig", "dart"),
    "yaml": ("yml", "yaml"),
    "json": ("json", "ndjson", "jsonl", "har", "tfstate", "snap", "ipynb"),
    "settings": ("ini", "cfg", "conf", "properties", "env", "toml", "tf", "tfvars", "hcl", "cnf", "config", "example", "dist", "gradle", "plist", "service", "rsp"),
    "shell": ("sh", "bash", "zsh", "ps1", "bat", "cmd", "fish", "bats", "dockerfile"),
    "prose": ("md", "rst", "txt", "adoc", "asciidoc", "markdown", "html", "htm", "org", "tex"),
    "data": ("sql", "csv", "tsv", "log", "graphql", "proto", "xml", "lock", "cast"),
    "key": ("pem", "key", "crt", "p8", "asc"),
}  # fmt: skip
_BY_ENDING = {ending: float(number) for number, endings in enumerate(LANGUAGES.values(), 1) for ending in endings}
PATH_WORDS = ("test", "spec", "example", "sample", "doc", "fixture", "mock", "cassette", "locale", "i18n", "lang", "translat", "vendor", "migrat", "config", "conf", "src", "lib", "tool", "docker", "template")  # fmt: skip
_OPERATORS = (":", "=", ":=", "=>", "==", "!=", "(", ",", "[", "{", " ", ">", "|", "::", "===", "->", "?=", "+=", "is")
_QUOTE_CODES = {"": 0.0, '"': 1.0, "'": 2.0, "`": 3.0, '"""': 4.0, "'''": 4.0, "``": 5.0}
_AFTER = ("", "\n", ";", ",", ")", " ", '"', "'", "`", ".", "(", "[", "]", "}", "+", "<", ">", "\\", "&", ":", "=", "|", "$", "{", "\r")  # fmt: skip
_NETS = ("assign", "short", "scheme", "sql", "upper", "space", "flag", "option", "han", "prose", "call")
_WRAPS = ("env", "get", "config", "fetch", "str", "some", "byte", "decode", "param", "t(", "_(", "print", "log", "new", "format", "secure", "hash", "encode", "require", "{", "[", "(")  # fmt: skip
_BEFORE = ("#", "//", "/*", " * ", "--", "<!--", "if ", "return", "assert", "expect", "def ", "func", "case ", "elif", "for ", "const", "static", "final", "var ", "let ", "export", "env ", "set ", "@", "$", "curl", "docker", "echo", "print", "log", "help", "desc", "label", "error", "raise", "throw", "message", "type", "import", "<", "-e ", "-h ", "http", "user", "login", "should", "where", "select", "create", "alter")  # fmt: skip
_KEYWORDS = tuple(word for words in KINDS.values() for word in words)
_KIND_CODES = {kind: float(code) for code, kind in enumerate(KINDS)}
_MARKS = ("interactions", "recorded_at", "http_interactions", "cassette", '"response"', "'response'", "response:", "headers", "status_code", "uri:", "sha256", "integrity", "msgid", "translation")  # fmt: skip
_SNIFF_MAX_CHARS = 20_000
_FURTHER = re.compile(r"[A-Za-z]{2,}")

PAGE_NAMES = ("language", "page_log_size", "page_density", *(f"path:{word}" for word in PATH_WORDS), "per_line:;", "per_line:{", 'per_line:":', "per_line:: ", "per_line:<", *(f"mark:{mark}" for mark in _MARKS))  # fmt: skip
NAMES = (
    "kind", "key_length", "key_upper", "key_underscore", "key_dash", "key_dot", "key_camel", "key_ends", "key_parts", "key_others", *(f"key:{word}" for word in OTHER_THINGS), "tail_length", "tail_words",
    "operator", "quote", "net", "order", "after", "after2", "wrap", *(f"wrap:{wrap}" for wrap in _WRAPS), "in_key", "key_in", "prefix",
    "indent", "before_length", "rest_length", "rest_words", "line_quotes", "line_equals", "before_char", *(f"before:{word}" for word in _BEFORE),
    "same_value", "same_key", "key_values", "same_shape", "shape_share", "same_length",
    *(f"fixture:{word}" for word in FIXTURE_WORDS), *(f"near:{word}" for word in NEAR_WORDS),
)  # fmt: skip


def code(places: Mapping[str, float], sign: str) -> float:
    """The place of a sign, -1 where it has none."""
    return places.get(sign, -1.0)


def _places(signs: Sequence[str]) -> dict[str, float]:
    return {sign: float(number) for number, sign in enumerate(signs)}


_OPERATOR_CODES, _NET_CODES, _AFTER_CODES = _places(_OPERATORS), _places(_NETS), _places(_AFTER)


class Page:
    """A text and all its candidates: what is counted once for them all.

    Args:
        text: the view's.
        path: the block's; "" or one without an ending says nothing.
        candidates: all that the net holds there.
    """

    def __init__(self, text: str, path: str, candidates: Sequence[Candidate]) -> None:
        self.text = text
        self.values = Counter([candidate.value for candidate in candidates])
        keys = {(candidate.key, candidate.value) for candidate in candidates}
        self.keys = Counter([candidate.key for candidate in candidates])
        self.key_values = Counter([key for key, _ in keys])
        self.shapes = Counter(shapes([value[:64] for value in self.values]))
        self.lengths = Counter(map(len, self.values))
        head = text[:_SNIFF_MAX_CHARS]
        lines = head.count("\n") + 1
        lower = path.lower()
        name = lower.rsplit("/", 1)[-1]
        ending = name.rsplit(".", 1)[-1] if "." in name else name
        folded = head.lower()
        self.features = [
            _BY_ENDING.get(ending, 0.0), float(len(text).bit_length()), 1000.0 * len(candidates) / (len(text) + 200),
            *[1.0 if word in lower else 0.0 for word in PATH_WORDS],
            head.count(";\n") / lines, head.count("{\n") / lines, head.count('":') / lines, head.count(": ") / lines, head.count("<") / lines,
            *[1.0 if mark in folded else 0.0 for mark in _MARKS],
        ]  # fmt: skip


def quick(candidate: Candidate) -> list[float]:
    """The last four of `mohist.guard.keyword.model.QUICK_NAMES`."""
    return [
        code(_OPERATOR_CODES, candidate.operator),
        _QUOTE_CODES.get(candidate.quote, 6.0),
        float(candidate.order),
        _KIND_CODES[candidate.kind],
    ]


def features(candidate: Candidate, page: Page) -> list[float]:
    """In the order of `NAMES`."""
    text, key, value = page.text, candidate.key, candidate.value
    low_key = key.lower()
    ends = max((low_key.rfind(word) + len(word) for word in _KEYWORDS if word in low_key), default=0)
    others = [float(word in low_key) for word in OTHER_THINGS]
    line_start = max(text.rfind("\n", max(candidate.key_start - LINE_MAX_CHARS, 0), candidate.key_start) + 1, candidate.key_start - LINE_MAX_CHARS, 0)  # fmt: skip
    line_end = text.find("\n", candidate.end, candidate.end + LINE_MAX_CHARS)
    if line_end < 0:
        line_end = min(len(text), candidate.end + LINE_MAX_CHARS)
    before = text[line_start : candidate.key_start]
    rest = text[candidate.end + len(candidate.quote) : line_end]
    line = text[line_start:line_end]
    low_before = before.lower()
    near = (text[max(line_start - 160, 0) : line_start] + text[line_end : line_end + 120]).lower()
    about = near + low_before + low_key
    low_wrap = candidate.wrap.lower()
    low_value = value.lower()
    behind = text[candidate.end : candidate.end + 24]
    after = behind[len(candidate.quote) :]
    return [
        _KIND_CODES[candidate.kind], float(len(key)), float(key.isupper()), float("_" in key), float("-" in key), float("." in key), float(not key.isupper() and not key.islower()),
        float(len(key) - ends), float(key.count("_") + key.count("-") + key.count(".")), sum(others), *others, float(len(candidate.tail)), float(candidate.tail.count(" ")),
        code(_OPERATOR_CODES, candidate.operator), _QUOTE_CODES.get(candidate.quote, 6.0), code(_NET_CODES, candidate.net), float(candidate.order), code(_AFTER_CODES, behind[:1]), code(_AFTER_CODES, after[:1]),
        float(len(low_wrap)), *[1.0 if wrap in low_wrap else 0.0 for wrap in _WRAPS], float(low_value in low_key), float(low_key in low_value), float(len(candidate.prefix)),
        float(len(line) - len(line.lstrip())), float(len(before)), float(len(rest)), float(len(_FURTHER.findall(rest[:60]))), float(line.count('"') + line.count("'")), float(line.count("=")), code(_AFTER_CODES, before[-1:]),
        *[1.0 if word in low_before else 0.0 for word in _BEFORE],
        float(page.values[value]), float(page.keys[key]), float(page.key_values[key]), float(page.shapes[shape(value[:64])]), page.shapes[shape(value[:64])] / len(page.values), float(page.lengths[len(value)]),
        *[1.0 if word in about else 0.0 for word in FIXTURE_WORDS], *[1.0 if word in near else 0.0 for word in NEAR_WORDS],
    ]  # fmt: skip
