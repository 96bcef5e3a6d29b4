"""How random a value looks: entropy of its characters, and how far it is made of words."""

from __future__ import annotations

import math
from collections import Counter

# The commonest pairs of letters in technical English, counted over this project's own documents: nine in ten of the pairs
# in its words are among them, and about one in four of random ones.
_LETTERS = (
    "abacadagaialamanaparasataybabeblbobucacechckclcoctdadedidodseaecedeeelemeneperesetevexeyfafifofrgehahehihoicid"
    "ieifiliminioirisitivkelaldlelilllolsltlymamemimompnancndnengninonsntolomonoooporosotouovowpapeplpoprrardrerirk"
    "rorrrsrtrurysaseshsisossstsuswtatethtitotrtstttyulumunupurusutvaveviwawhwiwoyo"
)
_PAIRS = frozenset(_LETTERS[at : at + 2] for at in range(0, len(_LETTERS), 2))


def entropy(value: str) -> float:
    """Shannon's entropy of the characters, bits each; 0 for the empty text."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values()) + 0.0 if total else 0.0


def wordlike(value: str) -> float:
    """Characters to a piece, where pieces are what common pairs of letters hold together: about 1.3 for random
    values, 3 and more for words.

    Stands in for the "token ratio" of Betterleaks' rules, which needs a tokenizer's tables.
    """
    lower = value.lower()
    joined = sum(lower[at : at + 2] in _PAIRS for at in range(len(lower) - 1))
    size = sum(map(str.isalnum, value))
    return size / max(size - joined, 1)
