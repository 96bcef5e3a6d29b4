"""What a source file defines, and which names it uses."""

from __future__ import annotations

import re
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from tree_sitter import Node

from mohist.agent.tool import syntax

_SIGNATURE_CHARS = 120
_NAME = re.compile(r"[^\W\d]\w{2,}")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]+")
_TYPES = frozenset(  # their bodies hold further definitions
    {
        *("class_definition", "class_declaration", "abstract_class_declaration", "interface_declaration"),
        *("enum_declaration", "record_declaration", "annotation_type_declaration", "internal_module", "module"),
        *("trait_item", "impl_item", "mod_item"),
    }
)
_LEAVES = frozenset(
    {
        *("function_definition", "function_declaration", "generator_function_declaration", "method_definition"),
        *("method_declaration", "constructor_declaration", "method_signature", "abstract_method_signature"),
        *("type_alias_declaration", "type_spec", "type_alias", "function_item", "function_signature_item"),
        *("struct_item", "enum_item", "union_item", "type_item", "const_item", "static_item", "macro_definition"),
    }
)
_PASSED_THROUGH = frozenset(
    {
        *("module", "program", "source_file", "block", "decorated_definition", "if_statement", "else_clause"),
        *("try_statement", "except_clause", "export_statement", "class_body", "interface_body", "enum_body"),
        *("enum_body_declarations", "statement_block", "type_declaration", "declaration_list", "expression_statement"),
        *("lexical_declaration", "variable_declaration", "ambient_declaration"),
    }
)
_FUNCTIONS = frozenset({"arrow_function", "function_expression", "class"})
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Symbol:
    """One definition."""

    name: str
    signature: str
    """Its first words, up to its body, on one line."""
    line: int
    end_line: int
    depth: int
    """0: at the top of the file."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What one file defines and uses."""

    symbols: tuple[Symbol, ...]
    uses: array[int]
    """Numbers of the names in it, of `Outlines.names`; each once."""


class Outlines:
    """Outlines by content: the same bytes are parsed once. Holds the newest `most`; safe to use from threads."""

    def __init__(self, most: int = 20_000) -> None:
        self._held: OrderedDict[tuple[str, str], Outline] = OrderedDict()
        self._most = most
        self._numbers: dict[str, int] = {}
        self._lock = Lock()

    def of(self, name: str, sha256: str, text: str) -> Outline:
        """`name` says the language; one that is not known has no symbols."""
        key = (syntax.grammar(name) or "", sha256)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        symbols = tuple(symbols_of(name, text))
        found = set(_NAME.findall(text))
        with self._lock:
            uses = array("I", sorted(self._numbers.setdefault(use, len(self._numbers)) for use in found))
            outline = self._held[key] = Outline(symbols, uses)
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return outline

    def number(self, name: str) -> int | None:
        """None: no file uses this name."""
        return self._numbers.get(name)


def symbols_of(name: str, text: str) -> list[Symbol]:
    """Definitions in the order of the file; not those inside of functions."""
    if len(text) > syntax.MAX_CHARS:
        return []
    tree = syntax.parse(name, text)
    found: list[Symbol] = []
    if tree is not None:
        _walk(tree.root_node, text.encode("utf-8", "replace"), 0, 0, found)
    return found


def _walk(node: Node, source: bytes, depth: int, level: int, found: list[Symbol]) -> None:
    if level > _DEEPEST:
        return
    for child in node.named_children:
        kind = child.type
        named = child.child_by_field_name("type" if kind == "impl_item" else "name")
        if kind in _LEAVES and named is not None:
            found.append(_symbol(child, named, source, depth))
        elif kind in _TYPES and named is not None:
            found.append(_symbol(child, named, source, depth))
            body = child.child_by_field_name("body")
            if body is not None:
                _walk(body, source, depth + 1, level + 1, found)
        elif kind == "variable_declarator" and named is not None:
            value = child.child_by_field_name("value")
            if value is not None and value.type in _FUNCTIONS:
                found.append(_symbol(child, named, source, depth))
        elif kind == "assignment" and depth == 0:
            left = child.child_by_field_name("left")
            if left is not None and _CONSTANT.fullmatch(_cut(left, source)):
                found.append(_symbol(child, left, source, depth))
        elif kind in _PASSED_THROUGH:
            _walk(child, source, depth, level + 1, found)


def _symbol(node: Node, named: Node, source: bytes, depth: int) -> Symbol:
    body = node.child_by_field_name("body")
    value = node.child_by_field_name("value")
    if body is None and value is not None and value.type in _FUNCTIONS:
        body = value.child_by_field_name("body")
    head = source[node.start_byte : body.start_byte if body is not None else node.end_byte]
    if node.type == "assignment" and b"\n" in head:
        head = source[node.start_byte : named.end_byte]
    signature = " ".join(head[: 4 * _SIGNATURE_CHARS].decode("utf-8", "ignore").split()).rstrip(" {:")
    if len(signature) > _SIGNATURE_CHARS:
        signature = signature[: _SIGNATURE_CHARS - 1] + "…"
    return Symbol(_cut(named, source), signature, node.start_point[0] + 1, node.end_point[0] + 1, depth)


def _cut(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "ignore")
