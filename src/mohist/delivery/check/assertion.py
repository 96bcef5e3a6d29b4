"""One assertion of a test: what it is about, and how much it demands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tree_sitter import Node

EXACT, PARTIAL, EXISTS, VACUOUS = 3, 2, 1, 0
"""How much is demanded: this very value · a part or a range of it · that there is one · nothing at all."""
_READ_CHARS = 4000
ABORTS = frozenset({"return_statement", "return_expression"})

_TOKEN = re.compile(r"[^\W\d]\w*|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\"[^\"\n]*\"|'[^'\n]*'")
_NOISE = frozenset(
    {"assert", "self", "expect", "assertEqual", "assertEquals", "assertTrue", "assertFalse", "assertIn", "assertThat",
     "assert_eq", "assert_ne", "toBe", "toEqual", "toStrictEqual", "toBeTruthy", "toBeDefined", "not", "is", "None", "True",
     "False", "in", "and", "or", "await", "require", "t", "Equal", "NoError", "isinstance", "null", "undefined",
     "isEqualTo", "isNotNull", "assertNotNull", "assertIsNotNone", "toContain", "approx", "pytest", "Assertions",
     "toBeCloseTo", "assertAlmostEqual", "raises", "assertRaises", "toThrow", "len", "unwrap", "true", "false"}
)  # fmt: skip
_PYTHON_METHODS = {
    **dict.fromkeys(("assertEqual", "assertEquals", "assertIs", "assertListEqual", "assertDictEqual", "assertSetEqual",
                     "assertTupleEqual", "assertMultiLineEqual", "assertSequenceEqual", "assertCountEqual", "assertRaises",
                     "assertRaisesRegex", "assertIsNone", "assertFalse", "assert_called_once_with", "assert_called_with",
                     "assert_has_calls", "assert_not_called", "assert_array_equal", "assert_frame_equal",
                     "assertNoLogs", "assertWarns"), EXACT),
    **dict.fromkeys(("assertNotEqual", "assertIn", "assertNotIn", "assertGreater", "assertLess", "assertGreaterEqual",
                     "assertLessEqual", "assertAlmostEqual", "assertNotAlmostEqual", "assertRegex", "assertNotRegex",
                     "assertIsInstance", "assertLogs", "assert_any_call", "assert_called_once", "assert_allclose",
                     "assert_almost_equal"), PARTIAL),
    **dict.fromkeys(("assertIsNotNone", "assertTrue", "assertIsNot", "assert_called"), EXISTS),
}  # fmt: skip
_JS_MATCHERS = {
    **dict.fromkeys(("toBe", "toEqual", "toStrictEqual", "toHaveBeenCalledWith", "toHaveBeenCalledTimes", "toThrow",
                     "toThrowError", "toHaveLength", "toBeNull", "toBeUndefined", "toBeFalsy", "toBeNaN", "equal", "eql",
                     "deep", "toMatchInlineSnapshot", "toHaveBeenLastCalledWith", "toBeFalse", "toBeTrue"), EXACT),
    **dict.fromkeys(("toContain", "toContainEqual", "toMatch", "toMatchObject", "toHaveProperty", "toBeCloseTo",
                     "toBeGreaterThan", "toBeLessThan", "toBeGreaterThanOrEqual", "toBeLessThanOrEqual", "toBeInstanceOf",
                     "toMatchSnapshot", "include", "match", "above", "below", "property"), PARTIAL),
    **dict.fromkeys(("toBeTruthy", "toBeDefined", "toHaveBeenCalled", "ok", "exist"), EXISTS),
}  # fmt: skip
_NODE_ASSERT = {
    **dict.fromkeys(("equal", "strictEqual", "deepEqual", "deepStrictEqual", "throws", "rejects", "is", "same"), EXACT),
    **dict.fromkeys(("notEqual", "notStrictEqual", "notDeepEqual", "match", "doesNotThrow", "partialDeepStrictEqual"), PARTIAL),
    **dict.fromkeys(("ok", "truthy", "pass"), EXISTS),
}  # fmt: skip
_GO_METHODS = {
    **dict.fromkeys(("Equal", "EqualValues", "Exactly", "ErrorIs", "EqualError", "Nil", "NoError", "False", "Len", "Empty",
                     "ElementsMatch", "JSONEq", "Panics", "Zero"), EXACT),
    **dict.fromkeys(("NotEqual", "Contains", "Greater", "Less", "InDelta", "InEpsilon", "Subset", "Regexp", "Error",
                     "ErrorContains", "ErrorAs", "WithinDuration", "GreaterOrEqual", "LessOrEqual"), PARTIAL),
    **dict.fromkeys(("NotNil", "NotEmpty", "True", "NotZero"), EXISTS),
}  # fmt: skip
_JAVA_METHODS = {
    **dict.fromkeys(("assertEquals", "assertSame", "assertArrayEquals", "assertThrows", "assertThrowsExactly", "assertNull",
                     "assertFalse", "assertIterableEquals", "assertLinesMatch", "verify", "fail"), EXACT),
    **dict.fromkeys(("assertNotEquals", "assertNotSame", "assertInstanceOf", "assertDoesNotThrow", "assertTimeout"), PARTIAL),
    **dict.fromkeys(("assertNotNull", "assertTrue"), EXISTS),
}  # fmt: skip
_CHAIN = {
    **dict.fromkeys(("isEqualTo", "isSameAs", "containsExactly", "isNull", "isFalse", "isEmpty", "hasSize", "isZero",
                     "isThrownBy", "containsExactlyInAnyOrder"), EXACT),
    **dict.fromkeys(("contains", "startsWith", "endsWith", "isGreaterThan", "isLessThan", "isCloseTo", "isInstanceOf",
                     "isNotEqualTo", "matches", "hasMessageContaining"), PARTIAL),
    **dict.fromkeys(("isNotNull", "isTrue", "isNotEmpty"), EXISTS),
}  # fmt: skip
_BROAD = re.compile(r"\b(?:raises|assertRaises|assertThrows)\(\s*\(?\s*(Exception|BaseException|Throwable)\b")
_TOLERANCE = re.compile(
    r"\b(rel|abs|rtol|atol|delta|epsilon|eps|tolerance|rel_tol|abs_tol|max_relative)\s*[=:]\s*([-+\d.eE]+)"
)
_PLACES = re.compile(
    r"\bplaces\s*=\s*(\d+)|assertAlmostEqual\(.*,\s*(\d+)\s*\)|toBeCloseTo\([^,()]+,\s*(\d+)\s*\)", re.DOTALL
)
_DELTA = re.compile(r"(?:InDelta|InEpsilon|assertEquals)\(.*,.*,\s*([\d.]+(?:[eE][-+]?\d+)?)[df]?\s*\)\s*$", re.DOTALL)
_TRUTHS = re.compile(
    r"^(?:True|true|1|\"[^\"]+\"|not False|!false|(.+) or True|True or .+|.+ \|\| true|(\S+) ===? \2|(\S+) is \3|(\w+) == \4)$"
)


@dataclass(frozen=True, slots=True)
class Assertion:
    """One demand of a test."""

    text: str
    """As written, white space made even."""
    line: int
    strength: int
    """`EXACT`, `PARTIAL`, `EXISTS` or `VACUOUS`."""
    tokens: frozenset[str]
    """Names and literals it is about."""
    tolerance: float | None = None
    """How far a number may be off; None: it says nothing of that."""
    repeated: bool = False
    """In a loop: it stands for several."""


def assertion_of(node: Node, callee: str) -> Assertion | None:
    """The assertion that a node is, whatever its language; None: it is none."""
    strength = _strength(node, callee)
    if strength is None:
        return None
    text = " ".join((node.text or b"").decode("utf-8", "replace").split())
    if strength >= EXACT and _BROAD.search(text):
        strength = PARTIAL
    tokens = frozenset(token for token in _TOKEN.findall(text) if token not in _NOISE)
    return Assertion(text, node.start_point[0] + 1, strength, tokens, _tolerance(text[:_READ_CHARS]))


def _strength(node: Node, callee: str) -> int | None:
    if node.type == "assert_statement":
        return _condition(_text(node.named_children[0]) if node.named_children else "")
    if node.type == "macro_invocation":
        return _macro(node, callee)
    if not callee:
        return None
    owner, _, name = callee.rpartition(".")
    if node.type == "call":
        if name in ("assertTrue", "assertFalse"):
            return _condition(_argument(node), negated=name == "assertFalse")
        if callee in ("pytest.raises", "pytest.warns", "pytest.fail"):
            return EXACT
        return _PYTHON_METHODS.get(name)
    if node.type == "method_invocation":
        if "assertThat" in callee:
            return _CHAIN.get(name, None if name != "assertThat" else _bare(node))
        found = _JAVA_METHODS.get(name)
        return (
            _condition(_argument(node), negated=name == "assertFalse")
            if name in ("assertTrue", "assertFalse")
            else found
        )
    if callee.startswith("expect(") or ".expect(" in callee:
        parent = node.parent
        if parent is not None and parent.type in ("member_expression",):
            return None  # the middle of a chain
        return _expect(callee, name, node)
    if re.fullmatch(r"(assert|t|tap)", owner) and name in _NODE_ASSERT:
        return _condition(_argument(node)) if name == "ok" else _NODE_ASSERT[name]
    if callee == "assert":
        return _condition(_argument(node))
    if re.fullmatch(r"(assert|require|is|c|s|suite)", owner) and name in _GO_METHODS:
        return _GO_METHODS[name]
    if re.fullmatch(r"(t|tb|b)", owner) and name in ("Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow"):
        return _guarded(node)
    return None


def _expect(callee: str, name: str, node: Node) -> int | None:
    if name not in _JS_MATCHERS:
        return None
    strength = _JS_MATCHERS[name]
    subject = re.match(r"expect\((.*?)\)\s*\.", callee, re.DOTALL)
    argument = _argument(node)
    literal = subject is not None and subject[1] == argument and bool(re.fullmatch(r"[\w'\".]+", argument))
    if literal or (subject is not None and subject[1] in ("true", "1") and name in ("toBeTruthy", "toBeDefined", "ok")):
        return VACUOUS
    if ".not." in callee:
        strength = {"toThrow": PARTIAL, "toBeNull": EXISTS, "toBeUndefined": EXISTS}.get(name, PARTIAL)
    if name in ("toThrow", "toThrowError") and not argument:
        return PARTIAL
    if strength == EXACT and re.search(r"expect\.(anything|any)\(", argument):
        return EXISTS if argument.startswith("expect.") else PARTIAL
    return strength


def _macro(node: Node, callee: str) -> int | None:
    name = callee.rstrip("!").rpartition("::")[2].removeprefix("debug_")
    inner = _text(node)[len(callee) :].strip("([{}]) ;")
    if name == "assert":
        return _condition(inner)
    if name == "assert_eq":
        left, _, right = inner.partition(",")
        return VACUOUS if left.strip() == right.strip() else EXACT
    return {"assert_ne": PARTIAL, "assert_matches": PARTIAL, "panic": EXACT, "assert_relative_eq": PARTIAL}.get(name)


def _condition(text: str, negated: bool = False) -> int:
    """What a bare condition demands."""
    flat = " ".join(text.split())
    if (flat in ("False", "false") and negated) or (not negated and _TRUTHS.match(flat)):
        return VACUOUS
    if re.search(r"(?<![=!<>])==(?!=)|===|\bis None\b|\.equals\(", flat):
        return PARTIAL if "approx" in flat else EXACT
    if re.search(r"\bis not None\b|!== ?(null|undefined)", flat):
        return EXISTS
    if re.search(
        r"[<>]=?|!==?|\bin\b|isinstance|matches!|\bis\b|\ball\(|\bany\(|\bisclose\(|startswith|endswith|contains", flat
    ):
        return PARTIAL
    return EXACT if negated or flat.startswith(("not ", "!")) else EXISTS


def _guarded(node: Node) -> int | None:
    """A failure that Go code tells by hand: as strong as the condition that leads to it, turned round."""
    parent = node.parent
    while parent is not None:
        if parent.type == "if_statement":
            text = _text(parent.child_by_field_name("condition"))
            if re.search(r"!=|DeepEqual|cmp\.|Equal", text):
                return EXISTS if re.search(r"== nil", text) else EXACT
            return EXISTS if "== nil" in text else PARTIAL
        parent = parent.parent
    return EXACT


def _bare(node: Node) -> int | None:
    """`assertThat(x)` alone demands nothing, `assertThat(x, matcher)` is Hamcrest's."""
    parent = node.parent
    if parent is not None and parent.type == "method_invocation":
        return None
    return EXACT if "," in _text(node.child_by_field_name("arguments")) else VACUOUS


def _tolerance(text: str) -> float | None:
    found = [float(number) for _, number in _TOLERANCE.findall(text) if _is_number(number)]
    for groups in _PLACES.findall(text):
        found += [10.0 ** -int(number) for number in groups if number]
    found += [float(number) for number in _DELTA.findall(text) if _is_number(number) and "." in number]
    return max(found) if found else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _argument(node: Node) -> str:
    arguments = node.child_by_field_name("arguments")
    parts = arguments.named_children if arguments is not None else []
    return _text(parts[0]) if parts else ""


def _text(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""
