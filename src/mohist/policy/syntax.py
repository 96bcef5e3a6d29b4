"""A command line, taken apart before it runs: which programs with which arguments, which files it writes.

Everything not known to be harmless in its meaning is refused: the node kinds handled here are a closed
list, and a line with any other is `CannotAnalyse`, which is asked about. Nothing here expands, resolves
or runs anything.

The parser is tree-sitter-bash, which is not bash. Where the two are known to differ (white space, here-documents,
`[ a > b ]`), the line is refused rather than trusted.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mohist.policy.grammar import RefusalError, parse
from mohist.policy.pattern import UNKNOWN
from mohist.policy.target import written_by
from mohist.policy.word import plain_expansion, word_value
from mohist.policy.wrapper import Literal, Unwrapped, unwrap

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_NODES: Final = 8_000
MAX_DEPTH: Final = 40
MAX_COMMANDS: Final = 200


@dataclass(frozen=True, slots=True)
class Command:
    """One program that would run."""

    argv: tuple[str, ...]
    """Never empty; `UNKNOWN` stands for what only the shell knows, never in the first word."""
    folder: str | None = ""
    """Where it runs, relative to the start ('' is the start) or absolute; None when that can't be told."""


@dataclass(frozen=True, slots=True)
class Target:
    """One file that would be written, by redirection or by a known program; `path` None: not known which."""

    path: str | None
    folder: str | None = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a command line does."""

    commands: tuple[Command, ...]
    writes: tuple[Target, ...] = ()
    assignments: tuple[str, ...] = ()
    """Names of the variables it sets, for itself or for what it starts."""


@dataclass(frozen=True, slots=True)
class CannotAnalyse:
    """What the line does can't be told; asked about, never guessed."""

    reason: str


def analyse(line: str) -> Analysis | CannotAnalyse:
    """Takes `line` apart within `grammar.MAX_LINE_BYTES`, `MAX_NODES` and `MAX_DEPTH`; never raises, always ends."""
    walk = _Walk()
    try:
        walk.line(line, 0)
    except RefusalError as refusal:
        return CannotAnalyse(refusal.reason)
    if not walk.commands and not walk.writes and not walk.assignments:
        return CannotAnalyse("there is no command in it")
    return Analysis(tuple(walk.commands), tuple(walk.writes), tuple(dict.fromkeys(walk.assignments)))


# Only hold other statements; their children are walked and nothing else happens.
_CONTAINERS = frozenset({
    "program", "list", "compound_statement", "if_statement", "elif_clause", "else_clause", "while_statement",
    "do_group", "negated_command", "comment",
})  # fmt: skip
_WORDS = frozenset({"word", "number", "raw_string", "string", "concatenation", "ansi_c_string", "translated_string"})
_EXPANSIONS = frozenset({
    "simple_expansion", "expansion", "command_substitution", "process_substitution", "arithmetic_expansion",
    "brace_expression",
})  # fmt: skip
# Integers that bash evaluates as arithmetic when they are set (`RANDOM='a[$(rm b)]'` runs rm), and its own tables.
_EVALUATES = re.compile(r"S?RANDOM|SECONDS|HISTCMD|OPTIND|LINENO|EPOCH\w*|BASH\w*|FUNCNAME|DIRSTACK")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DELIMITER = re.compile(r"""(['"]?)[A-Za-z0-9_.-]+\1|\\[A-Za-z0-9_]+""")
_ARITHMETIC_TEST = re.compile(r"(?<![\w-])-(?:eq|ne|lt|le|gt|ge|v|R)(?![\w-])")
_BEFORE_NUMBER = (b"", b" ", b"\t", b"\n", b";", b"&", b"|", b"(", b")", b"`", b"}")
_INTERPRETERS = re.compile(r"(?:python|pypy|node|deno|bun|perl|ruby|php|lua|Rscript|tclsh|guile)[\d.]*")


def _one_line(gap: bytes) -> bool:
    return b"\n" not in gap.replace(b"\\\n", b"")


@dataclass(slots=True)
class _Walk:
    commands: list[Command] = field(default_factory=list)
    writes: list[Target] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)
    folder: str | None = ""
    nodes: int = 0
    source: bytes = b""

    def line(self, text: str, depth: int, *, piped: bool = False) -> None:
        source, root = parse(text)
        outer, self.source = self.source, source
        self.visit(root, depth, piped)
        self.source = outer

    def text(self, node: Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode()

    def visit(self, node: Node, depth: int, piped: bool) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise RefusalError("it is too long or too deeply nested to be analysed")
        kind, deeper = node.type, depth + 1
        if kind == "compound_statement" and self.text(node)[:2] not in ("{ ", "{\t", "{\n"):
            # `{a,b}` is a word for bash, a block for the parser.
            raise RefusalError("it holds braces that the shell reads differently")
        if kind in _CONTAINERS:
            self.visit_all(node.named_children, deeper, piped)
        elif kind == "command":
            self.command(node, deeper, piped, [])
        elif kind == "pipeline":
            for position, child in enumerate(node.named_children):
                self.scoped(child, deeper, piped or position > 0)
        elif kind == "subshell":
            before = self.folder
            self.visit_all(node.named_children, deeper, piped)
            self.folder = before
        elif kind in ("command_substitution", "process_substitution"):
            self.substitution(node, deeper)
        elif kind == "redirected_statement":
            self.redirected(node, deeper, piped)
        elif kind == "file_redirect":
            self.redirect(node, deeper)
        elif kind == "herestring_redirect":
            self.herestring(node, deeper)
        elif kind == "function_definition":
            self.function(node, deeper)
        elif kind in ("for_statement", "case_statement", "case_item"):
            self.choice(node, deeper, piped)
        elif kind in ("variable_assignment", "variable_assignments"):
            self.assignment(node, deeper)
        elif kind in ("declaration_command", "unset_command"):
            self.declaration(node, deeper)
        elif kind == "test_command":
            self.test(node, deeper)
        else:
            raise RefusalError(f"it holds a construct that is not analysed ({kind.replace('_', ' ')})")

    def visit_all(self, nodes: list[Node], depth: int, piped: bool) -> None:
        for node in nodes:
            self.visit(node, depth, piped)

    def words(self, nodes: list[Node], depth: int) -> None:
        for node in nodes:
            if node.type not in _WORDS and node.type not in _EXPANSIONS and node.type != "extglob_pattern":
                raise RefusalError(f"it holds a word that is not analysed ({node.type.replace('_', ' ')})")
            self.expansions(node, depth)

    def herestring(self, node: Node, depth: int) -> None:
        if len(node.named_children) != 1 or len(node.children) != 2:
            raise RefusalError("it holds a redirection that is not analysed")
        self.word(node.named_children[0], depth)

    def choice(self, node: Node, depth: int, piped: bool) -> None:
        """`for` and `case`: words to expand, then statements."""
        values = node.children_by_field_name("value")
        for variable in node.children_by_field_name("variable"):
            self.assign(self.text(variable))
            values.append(variable)
        self.words([value for value in values if value.type != "variable_name"], depth)
        self.visit_all([child for child in node.named_children if child not in values], depth, piped)

    def scoped(self, node: Node, depth: int, piped: bool) -> None:
        """Each part of a pipeline is a process of its own: its `cd` ends with it."""
        before = self.folder
        self.visit(node, depth, piped)
        self.folder = before

    def substitution(self, node: Node, depth: int) -> None:
        text = self.text(node)
        if text.startswith("`") and "\\" in text:
            raise RefusalError("backslashes within backticks change what runs")
        before = self.folder
        self.visit_all(node.named_children, depth, piped=False)
        self.folder = before

    def function(self, node: Node, depth: int) -> None:
        name = node.child_by_field_name("name")
        # A function that takes the place of a known command would be judged as that command.
        if name is None or _NAME.fullmatch(self.text(name)) is None:
            raise RefusalError("it defines a function with an unusual name")
        self.assignments.append(f"{self.text(name)}()")
        self.visit_all([child for child in node.named_children if child != name], depth, piped=True)

    def expansions(self, node: Node, depth: int) -> None:
        """Walks a word for commands that run while it is expanded."""
        kind = node.type
        if kind in ("command_substitution", "process_substitution"):
            self.visit(node, depth, piped=False)
            return
        if kind == "expansion" and not plain_expansion(self.text(node)):
            raise RefusalError("an expansion evaluates what a variable holds")
        if kind == "arithmetic_expansion" and re.search(r"[A-Za-z_$`]", self.text(node)[1:]):
            raise RefusalError("arithmetic on variables evaluates what they hold")
        if kind == "simple_expansion" and re.search(r"\s", self.text(node)):
            raise RefusalError("it holds a word that the parser puts together")  # `$ -` is `$-` for it
        if kind == "expansion" and ":=" in self.text(node):
            raise RefusalError("an expansion sets a variable")
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise RefusalError("it is too long or too deeply nested to be analysed")
        for child in node.named_children:
            self.expansions(child, depth + 1)

    def word(self, node: Node, depth: int) -> str:
        self.expansions(node, depth)
        value = word_value(node, self.source)
        if value is None:
            raise RefusalError(f"it holds a word that is not analysed ({node.type.replace('_', ' ')})")
        return value

    def assign(self, name: str) -> None:
        if _EVALUATES.fullmatch(name):
            raise RefusalError(f"setting {name} makes the shell evaluate or run something")
        if not name.startswith("-"):
            self.assignments.append(name)

    def assignment(self, node: Node, depth: int) -> None:
        if node.type == "variable_assignments":
            self.visit_all(node.named_children, depth, piped=False)
            return
        name, *values = node.named_children
        if name.type != "variable_name":
            raise RefusalError("an array index evaluates what a variable holds")
        self.assign(self.text(name))
        for value in values:
            self.expansions(value, depth)

    def declaration(self, node: Node, depth: int) -> None:
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.assignment(child, depth)
            elif child.type == "variable_name":
                self.assign(self.text(child))
            elif child.type != "word" or not re.fullmatch(r"-[aAfgilnprtuxF]+", self.text(child)):
                raise RefusalError("a declaration evaluates what it is given")
            elif "n" in self.text(child) or "i" in self.text(child):
                raise RefusalError("a declaration makes a name stand for something else")

    def test(self, node: Node, depth: int) -> None:
        text = self.text(node)
        if text.startswith("[["):
            if _ARITHMETIC_TEST.search(text):
                raise RefusalError("a comparison of numbers evaluates what variables hold")
        elif re.search(r"[<>|&;\n(]|-v\b", text.replace("$(", "")):
            # `[ a > b ]` is a redirection and `[ a && rm b ]` two commands for bash, one test for the parser.
            raise RefusalError("a test holds an operator that the shell reads differently")
        words = ["test"]
        self.operands(node, depth, words)
        if not text.startswith("[["):
            # An operator out of a variable may be -v, which evaluates its operand: rules judge it as a command.
            self.record(tuple(words), fed=False)

    def operands(self, node: Node, depth: int, words: list[str]) -> None:
        for child in node.children:
            if child.type in _WORDS or child.type in _EXPANSIONS:
                words.append(self.word(child, depth))
            elif child.named_children:
                self.operands(child, depth + 1, words)
            elif child.type not in ("[", "]", "[[", "]]"):
                words.append(self.text(child))

    def redirected(self, node: Node, depth: int, piped: bool) -> None:
        redirects = [child for child in node.named_children if child.type.endswith("_redirect")]
        bodies = [child for child in node.named_children if not child.type.endswith("_redirect")]
        heredocs = [child for child in redirects if child.type == "heredoc_redirect"]
        if len(heredocs) > 1:
            raise RefusalError("it holds several here-documents")
        # The parser hangs `cd a && b > c` as a whole below the redirection, which opens `c` after the `cd`.
        late = any(body.type == "list" for body in bodies)
        for body in bodies if late else ():
            self.visit(body, depth, piped)
        if late and self.commands and self.commands[-1].argv[0] == "cd":
            raise RefusalError("a redirection of cd opens its file in another folder")
        for redirect in redirects:
            if redirect.type != "heredoc_redirect":
                self.visit(redirect, depth, piped)
        for body in () if late else bodies:
            if body.type == "command":
                self.command(body, depth, piped, self.lost(body, redirects[0]))
            else:
                self.visit(body, depth, piped)
        for heredoc in heredocs:
            self.heredoc(heredoc, depth)

    def lost(self, body: Node, redirect: Node) -> list[str]:
        """The dash of `python - <<EOF`, which the grammar drops."""
        gap = self.source[body.end_byte : redirect.start_byte]
        if not _one_line(gap):
            raise RefusalError("it holds a line end that the parser takes for a blank")
        return ["-"] if b"-" in gap else []

    def heredoc(self, node: Node, depth: int) -> None:
        parts = {child.type: child for child in node.named_children}
        start, end = parts.get("heredoc_start"), parts.get("heredoc_end")
        if start is None or end is None or _DELIMITER.fullmatch(self.text(start)) is None:
            raise RefusalError("it holds a here-document whose end can't be told")
        mark = self.text(start).strip("'\"\\")
        body = parts.get("heredoc_body")
        # The parser must have found the very line bash stops at: the first that is the delimiter and nothing else.
        before = self.source[body.start_byte if body else end.start_byte : end.start_byte].decode()
        tabs = "\t" if self.text(node).startswith("<<-") else ""
        after = self.source[end.end_byte : end.end_byte + 1]
        lines = [line.lstrip(tabs) if tabs else line for line in before.split("\n")]
        if mark in lines or lines[-1] or after not in (b"", b"\n") or self.text(end).strip() != mark:
            raise RefusalError("it holds a here-document whose end can't be told")
        if body is not None and self.text(start) == mark:
            if "\\\n" in before:
                raise RefusalError("it holds a here-document whose lines are joined")
            for child in body.named_children:
                if child.type != "heredoc_content":
                    self.expansions(child, depth)
        for child in node.named_children:
            if child.type == "file_redirect":
                self.redirect(child, depth)
            elif not child.type.startswith("heredoc_") and child.type != "file_descriptor":
                # `cat <<EOF | python`: the rest of the line hangs below the here-document.
                self.visit(child, depth, piped=True)

    def redirect(self, node: Node, depth: int) -> None:
        operators = [child.type for child in node.children if not child.is_named]
        destinations = [child for child in node.named_children if child.type != "file_descriptor"]
        numbers = [self.text(child) for child in node.named_children if child.type == "file_descriptor"]
        before = self.source[: node.start_byte][-1:]
        if before.isdigit() or (numbers and before not in _BEFORE_NUMBER) or not all(map(str.isdigit, numbers)):
            raise RefusalError("it holds a word that the parser cuts in two")
        if operators in (["<&-"], [">&-"]) and not destinations:
            return
        if len(destinations) != 1 or len(operators) != 1:
            raise RefusalError("it holds a redirection that is not analysed")
        operator = operators[0]
        value = self.word(destinations[0], depth)
        if operator in ("<&", ">&") and not re.fullmatch(r"\d+|-|[A-Za-z_./][\w./-]*", value, re.ASCII):
            # `>&-x` closes a descriptor, and `x` is a word. And bash expands this word twice: >& '$(rm a)' runs rm.
            raise RefusalError("it holds a redirection that is not analysed")
        if operator in ("<", "<&"):
            return
        if operator not in (">", ">>", "&>", "&>>", ">|", ">&"):
            raise RefusalError("it holds a redirection that is not analysed")
        if (operator == ">&" and re.fullmatch(r"\d+|-", value)) or destinations[0].type == "process_substitution":
            return
        self.writes.append(Target(None if UNKNOWN in value or value.startswith("~") else value, self.folder))

    def command(self, node: Node, depth: int, piped: bool, lost: list[str]) -> None:
        argv: list[str] = []
        fed = piped
        before = -1
        for child in node.children:
            if before >= 0 and not _one_line(self.source[before : child.start_byte]):
                raise RefusalError("it holds a line end that the parser takes for a blank")
            if child.start_byte == before and not child.type.endswith("_redirect"):
                raise RefusalError("it holds a word that the parser cuts in two")
            before = child.end_byte
            if not child.is_named:
                # Words such as `-`, `==` and `$` come as bare tokens.
                argv.append(self.text(child))
            elif child.type == "variable_assignment":
                self.assignment(child, depth)
            elif child.type == "command_name":
                argv.append(self.word(child.named_children[0], depth))
            elif child.type == "file_redirect":
                self.redirect(child, depth)
            elif child.type == "herestring_redirect":
                fed = True
                self.herestring(child, depth)
            else:
                argv.append(self.word(child, depth))
        self.run(argv + lost, depth, fed)

    def run(self, argv: list[str], depth: int, fed: bool) -> None:
        """Records one program, and what it starts in turn."""
        if not argv or not argv[0] or UNKNOWN in argv[0]:
            raise RefusalError("which program runs is only known when it runs")
        unwrapped = unwrap(argv)
        if isinstance(unwrapped, Literal):
            before = self.folder
            self.line(unwrapped.script, depth + 1, piped=fed)
            self.folder = before
            return
        if not isinstance(unwrapped, Unwrapped):
            raise RefusalError(unwrapped.reason)
        for name in unwrapped.assignments:
            self.assign(name)
        if unwrapped.own is not None:
            self.record(unwrapped.own, fed)
        for inner in unwrapped.inner:
            self.nodes += 1
            if depth > MAX_DEPTH:
                raise RefusalError("it is too long or too deeply nested to be analysed")
            self.run(list(inner), depth + 1, fed)

    def record(self, argv: tuple[str, ...], fed: bool) -> None:
        if len(self.commands) >= MAX_COMMANDS:
            raise RefusalError(f"it holds more than {MAX_COMMANDS} commands")
        if fed and _INTERPRETERS.fullmatch(argv[0]) and not any(arg not in ("-", "-u") for arg in argv[1:]):
            raise RefusalError(f"{argv[0]} would run a program that comes through a pipe")
        self.commands.append(Command(argv, self.folder))
        for path in written_by(argv):
            self.writes.append(Target(path, self.folder))
        if argv[0] == "cd":
            self.folder = self.entered(argv)
        elif argv[0] == "read":
            for name in argv[1:]:
                self.assign(name)

    def entered(self, argv: tuple[str, ...]) -> str | None:
        if len(argv) != 2 or UNKNOWN in argv[1] or argv[1].startswith(("-", "~")):
            return None
        return None if self.folder is None else posixpath.join(self.folder, argv[1])
