"""The tests of a source file, told by its syntax: what they are called, whether they run, what they assert."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tree_sitter import Node

from mohist.agent.tool import syntax
from mohist.delivery.check.assertion import ABORTS, Assertion, assertion_of

_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "testdata", "__snapshots__", "e2e", "fixtures"})
_NAME = re.compile(r"^(test_.*|.*_test|conftest|.*[._](test|spec)|.*(Test|Tests|IT|Spec))$")
_PYTHON_SKIP = re.compile(r"\b(skip|skipif|skipIf|skipUnless|xfail|expectedFailure)\b")
_PYTHON_STOP = re.compile(r"^(?:pytest\.(?:skip|xfail|importorskip)|self\.skipTest)$")
_JS_TEST = re.compile(r"^(it|test|specify|fit|xit|xtest|bench)((?:\.\w+)*)$")
_JS_GROUP = re.compile(r"^(describe|context|suite|fdescribe|xdescribe)((?:\.\w+)*)$")
_JS_SKIP = re.compile(r"^(xit|xtest|xdescribe)\b|\.(skip|todo|failing|fails|fixme|skipIf|runIf)\b")
_JS_ONLY = re.compile(r"^(fit|fdescribe)\b|\.only\b")
_GO_SKIP = re.compile(r"^\w+\.(Skip|SkipNow|Skipf)$")
_JAVA_TEST = re.compile(r"^@(Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Property)\b")
_JAVA_SKIP = re.compile(r"^@(Disabled\w*|Ignore|EnabledIf\w*)\b")
_LOOPS = frozenset({"for_statement", "while_statement", "for_in_statement", "for_expression", "enhanced_for_statement",
                    "list_comprehension", "generator_expression"})  # fmt: skip
_FUNCTIONS = frozenset({"function_definition", "function_declaration", "method_declaration", "function_item",
                        "method_definition", "arrow_function", "function_expression", "lambda"})  # fmt: skip
_DEEP = 3


@dataclass(frozen=True, slots=True)
class TestCase:
    """One test."""

    __test__ = False  # not one of pytest's

    name: str
    """With the class or group it is in: `TestX::test_a`."""
    line: int
    skipped: str
    """How it is kept from running or from counting; empty: it runs."""
    assertions: tuple[Assertion, ...]
    calls: frozenset[str]
    """Names that it calls."""
    cases: int = 1
    """How often it runs with other values, where that can be counted."""

    @property
    def leaf(self) -> str:
        return self.name.rpartition("::")[2]


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file."""

    tests: tuple[TestCase, ...]
    only: tuple[tuple[str, int], ...] = ()
    """Tests or groups marked as the only ones to run, with their lines: all others are silently left out."""
    helpers: tuple[TestCase, ...] = ()
    """Functions beside the tests; their assertions count for who calls them."""


def is_test(path: str) -> bool:
    """Whether a file is part of a test suite, by where it lies and what it is called."""
    pure = PurePosixPath(path)
    return bool(_FOLDERS.intersection(pure.parts[:-1])) or bool(_NAME.match(pure.name.partition(".")[0])) or bool(
        _NAME.match(pure.stem)
    )  # fmt: skip


def suite_of(path: str, text: str) -> Suite:
    """The tests in a file; none for a language that is not known, or a file that is no test's."""
    language = syntax.grammar(path)
    tree = syntax.parse(path, text) if language and len(text) <= syntax.MAX_CHARS else None
    reader = _READERS.get(language or "")
    if tree is None or reader is None or (language != "rust" and not is_test(path)):
        return Suite(())
    try:
        return reader(tree.root_node)
    except RecursionError:  # nested deeper than anybody writes a test
        return Suite(())


def with_helpers(suite: Suite, shared: dict[str, TestCase]) -> Suite:
    """The suite where the assertions of called helpers count for the test that calls them."""
    known = {**shared, **{helper.leaf: helper for helper in suite.helpers}}

    def expanded(case: TestCase, depth: int, seen: frozenset[str]) -> tuple[Assertion, ...]:
        found = case.assertions
        if depth:
            for name in sorted(case.calls - seen):
                if name in known:
                    found += expanded(known[name], depth - 1, seen | {name})
        return found

    return replace(suite, tests=tuple(
        replace(case, assertions=expanded(case, _DEEP, frozenset({case.leaf}))) for case in suite.tests
    ))  # fmt: skip


def _python(root: Node) -> Suite:
    tests: list[TestCase] = []
    helpers: list[TestCase] = []
    whole = ""
    for node in root.children:
        text = _text(node)
        if text.startswith("pytestmark") and _PYTHON_SKIP.search(text):
            whole = "pytestmark"
        call = next((c for c in _walk(node, skip=_FUNCTIONS) if c.type == "call"), None)
        if call is not None and _PYTHON_STOP.match(_callee(call)) and node.type == "expression_statement":
            whole = _callee(call)

    def visit(node: Node, prefix: str, skipped: str, collected: bool) -> None:
        for child in node.named_children:
            marks = [_text(d) for d in child.named_children if d.type == "decorator"] if (
                child.type == "decorated_definition") else []  # fmt: skip
            inner = child.child_by_field_name("definition") if child.type == "decorated_definition" else child
            if inner is None:
                continue
            mark = next((m for m in marks if _PYTHON_SKIP.search(m)), "")
            why = skipped or mark.partition("(")[0]
            name = _text(inner.child_by_field_name("name"))
            body = inner.child_by_field_name("body")
            if inner.type == "class_definition" and body is not None:
                off = any("__test__" in _text(c) and "False" in _text(c) for c in body.named_children)
                bases = _text(inner.child_by_field_name("superclasses"))
                is_suite = name.startswith("Test") or "Test" in bases
                visit(body, f"{prefix}{name}::", why or ("__test__ = False" if off else ""), is_suite)
            elif inner.type == "function_definition" and body is not None:
                case = _case(inner, body, prefix + name, why, _python_stop)
                if name.startswith("test") and collected:
                    tests.append(replace(case, cases=_product(_python_cases(mark) for mark in marks)))
                else:
                    helpers.append(case)
            elif inner.type in ("if_statement", "try_statement", "with_statement", "block"):
                visit(inner, prefix, skipped, collected)

    visit(root, "", whole, True)
    return Suite(tuple(tests), (), tuple(helpers))


def _python_stop(node: Node) -> str:
    return _callee(node) if node.type == "call" and _PYTHON_STOP.match(_callee(node)) else ""


def _python_cases(mark: str) -> int:
    """The number of cases of a parametrize mark; its list is read by brackets, for it may hold anything."""
    if "parametrize" not in mark:
        return 1
    tree = syntax.parse("x.py", mark.lstrip("@"))
    lists = [n for n in _walk(tree.root_node) if n.type in ("list", "tuple")] if tree else []
    # The first argument may be a list of names; the values come last among the outermost.
    outer = [n for n in lists if n.parent is not None and n.parent.type == "argument_list"]
    return max(1, len(outer[-1].named_children)) if outer else 1


def _javascript(root: Node) -> Suite:
    tests: list[TestCase] = []
    helpers: list[TestCase] = []
    only: list[tuple[str, int]] = []

    def visit(node: Node, prefix: str, skipped: str) -> None:
        for child in node.named_children:
            callee = _callee(child).replace("\n", "") if child.type == "call_expression" else ""
            cases = 1
            if (child.type == "call_expression" and callee.endswith(")")) or ".each" in callee:
                callee, cases = _each(child)
            if _JS_TEST.match(callee) or _JS_GROUP.match(callee):
                arguments = child.child_by_field_name("arguments")
                parts = arguments.named_children if arguments is not None else []
                name = _text(parts[0]).strip("\"'`") if parts else ""
                function = next((p for p in reversed(parts) if p.type in _FUNCTIONS), None)
                why = skipped or (callee if _JS_SKIP.search(callee) else "")
                if _JS_ONLY.search(callee):
                    only.append((name, child.start_point[0] + 1))
                if _JS_GROUP.match(callee):
                    if function is not None:
                        visit(function, f"{prefix}{name}::", why)
                else:
                    why = why or ("todo" if function is None else "")
                    case = _case(child, function or child, prefix + name, why, lambda _: "")
                    tests.append(replace(case, cases=cases))
            else:
                body = child.child_by_field_name("body")
                name = _text(child.child_by_field_name("name"))
                value = child.child_by_field_name("value")
                if child.type == "function_declaration" and body is not None:
                    helpers.append(_case(child, body, name, "", lambda _: ""))
                elif child.type == "variable_declarator" and value is not None and value.type in _FUNCTIONS:
                    helpers.append(_case(child, value, name, "", lambda _: ""))
                else:
                    visit(child, prefix, skipped)

    visit(root, "", "")
    return Suite(tuple(tests), tuple(only), tuple(helpers))


def _each(call: Node) -> tuple[str, int]:
    """`it.each([...])("name", …)`: the callee without its table, and the number of rows."""
    inner = call.child_by_field_name("function")
    if inner is None or inner.type != "call_expression":
        return _callee(call).partition(".each")[0], 1
    arguments = inner.child_by_field_name("arguments")
    table = arguments.named_children[0] if arguments is not None and arguments.named_children else None
    rows = len(table.named_children) if table is not None and table.type == "array" else 1
    return _callee(inner).removesuffix(".each"), max(1, rows)


def _go(root: Node) -> Suite:
    tests, helpers = [], []
    for node in root.named_children:
        body = node.child_by_field_name("body")
        if node.type not in ("function_declaration", "method_declaration") or body is None:
            continue
        name = _text(node.child_by_field_name("name"))
        case = _case(node, body, name, "", lambda n: _callee(n) if _GO_SKIP.match(_callee(n)) else "")
        if re.match(r"^(Test|Fuzz|Example|Benchmark)([^a-z]|$)", name):
            tables = [len(n.named_children) for n in _walk(body) if n.type == "literal_value"
                      and n.parent is not None and n.parent.type == "composite_literal"]  # fmt: skip
            subtests = [n for n in _walk(body) if n.type == "call_expression" and _callee(n).endswith(".Run")]
            tests.append(replace(case, cases=max([1, len(subtests), *(tables if _has_loop(body) else [])])))
        else:
            helpers.append(case)
    return Suite(tuple(tests), (), tuple(helpers))


def _rust(root: Node) -> Suite:
    tests: list[TestCase] = []
    helpers: list[TestCase] = []

    def visit(node: Node, prefix: str) -> None:
        marks: list[str] = []
        for child in node.named_children:
            if child.type == "attribute_item":
                marks.append(_text(child))
                continue
            body = child.child_by_field_name("body")
            name = _text(child.child_by_field_name("name"))
            if child.type == "mod_item" and body is not None:
                visit(body, f"{prefix}{name}::")
            elif child.type == "function_item" and body is not None:
                is_a_test = any(re.match(r"#\[(\w+::)*(test|rstest|test_case)\b", mark) for mark in marks)
                ignored = next((mark for mark in marks if re.match(r"#\[(cfg_attr\(.*)?ignore\b", mark)), "")
                case = _case(child, body, prefix + name, ignored, lambda _: "")
                if is_a_test:
                    rows = sum(bool(re.match(r"#\[(case|test_case)\b", mark)) for mark in marks)
                    tests.append(replace(case, cases=max(1, rows)))
                elif "test" in prefix:
                    helpers.append(case)
            if child.type not in ("line_comment", "block_comment"):
                marks = []

    visit(root, "")
    return Suite(tuple(tests), (), tuple(helpers))


def _java(root: Node) -> Suite:
    tests: list[TestCase] = []
    helpers: list[TestCase] = []

    def visit(node: Node, prefix: str, skipped: str) -> None:
        for child in node.named_children:
            marks = [_text(m) for c in child.named_children if c.type == "modifiers" for m in c.named_children]
            off = skipped or next((mark for mark in marks if _JAVA_SKIP.match(mark)), "").partition("(")[0]
            body = child.child_by_field_name("body")
            name = _text(child.child_by_field_name("name"))
            if child.type == "class_declaration" and body is not None:
                visit(body, f"{prefix}{name}::", off)
            elif child.type == "method_declaration" and body is not None:
                case = _case(child, body, prefix + name, off, _java_stop)
                rows = sum(mark.count(",") + 1 for mark in marks if mark.startswith(("@ValueSource", "@CsvSource")))
                is_a_test = any(_JAVA_TEST.match(mark) for mark in marks)
                (tests if is_a_test else helpers).append(replace(case, cases=max(1, rows)))

    visit(root, "", "")
    return Suite(tuple(tests), (), tuple(helpers))


def _java_stop(node: Node) -> str:
    if node.type != "method_invocation":
        return ""
    name = _text(node.child_by_field_name("name"))
    return name if name in ("assumeTrue", "assumeFalse", "assumeThat", "abort") else ""


_READERS: dict[str, Callable[[Node], Suite]] = {
    "python": _python, "javascript": _javascript, "typescript": _javascript, "go": _go, "rust": _rust, "java": _java,
}  # fmt: skip


def _case(node: Node, body: Node, name: str, skipped: str, stop: Callable[[Node], str]) -> TestCase:
    """A test or helper whose code is `body`. What follows a bare return at its top is not there for us."""
    assertions: list[Assertion] = []
    calls: set[str] = set()
    for found, in_loop, is_swallowed in _reached(body):
        callee = _callee(found)
        if callee:
            calls.add(re.split(r"[.:]+", callee)[-1])
        if not skipped:
            skipped = stop(found) if callee and not _is_conditional(found, body) else ""
        made = assertion_of(found, callee)
        if made is not None:
            made = replace(made, repeated=made.repeated or in_loop)
            assertions.append(replace(made, strength=0) if is_swallowed else made)
    return TestCase(name, node.start_point[0] + 1, skipped, tuple(assertions), frozenset(calls))


def _reached(body: Node) -> Iterator[tuple[Node, bool, bool]]:
    """Each node of a body that can be reached, whether a loop repeats it, and whether its failure is swallowed."""
    stack = [(body, False, False)]
    while stack:
        node, in_loop, swallowed = stack.pop()
        yield node, in_loop, swallowed
        loops = in_loop or node.type in _LOOPS or _callee(node).rpartition(".")[2] in ("forEach", "for_each")
        hides = swallowed or (node.type == "try_statement" and _swallows(node))
        kept = []
        for child in node.children:
            kept.append((child, loops, hides and child.type in ("block", "statement_block")) if (
                node.type == "try_statement") else (child, loops, hides))  # fmt: skip
            if node == body and child.type in ABORTS:
                break
        stack.extend(reversed(kept))


def _swallows(node: Node) -> bool:
    """Whether a try statement takes a failed assertion and goes on."""
    for child in node.named_children:
        if child.type in ("except_clause", "catch_clause"):
            text = _text(child)
            head = text.partition("\n")[0]
            broad = child.type == "catch_clause" or re.match(
                r"except\s*:|except\s*\(?.*\b(AssertionError|Exception|BaseException)\b", head
            )
            if broad and not re.search(
                r"\b(raise|throw|fail|assert\w*|expect|pytest)\b", text.partition(":")[2] or text
            ):
                return True
    return False


def _is_conditional(node: Node, body: Node) -> bool:
    parent = node.parent
    while parent is not None and parent != body:
        if parent.type in ("if_statement", "except_clause", "catch_clause", "try_statement", "if_expression"):
            return True
        parent = parent.parent
    return False


def _has_loop(body: Node) -> bool:
    return any(node.type in _LOOPS for node in _walk(body))


def _callee(node: Node) -> str:
    """What a call calls, as written; empty for what is no call."""
    if node.type in ("call", "call_expression"):
        return _text(node.child_by_field_name("function"))
    if node.type == "method_invocation":
        owner = node.child_by_field_name("object")
        return (f"{_text(owner)}." if owner is not None else "") + _text(node.child_by_field_name("name"))
    return _text(node.child_by_field_name("macro")) + "!" if node.type == "macro_invocation" else ""


def _walk(node: Node, skip: frozenset[str] = frozenset()) -> Iterator[Node]:
    stack = [node]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(child for child in reversed(found.children) if child.type not in skip)


def _product(numbers: Iterator[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def _text(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""
