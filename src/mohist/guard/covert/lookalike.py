"""Words that look like other words: skeletons by UTS #39, and the characters that a program has no reason to write."""

from __future__ import annotations

import builtins
import keyword
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

from mohist.guard.errors import GuardDataError

TABLE = Path(__file__).with_name("confusable.tsv")

# ECMA-262 (2025) reserved words, and what programs in any language call things.
_COMMON = """
abstract access account action active address admin agent amount answer api app append apply args array arrow assert async auth author
authorization await backup balance base bash bearer body bool boolean branch break buffer build button byte cache call callback cancel case
catch channel char charset check child class clean clear click client clone close cloud code collect column command comment commit common
compare compile component compute config configure confirm connect connection console const constant constructor contain content context
continue control convert cookie copy core count create credential credentials current cursor customer data database date debug debugger
decode default define delete deny deploy dest destroy detail device dict diff digest dir directory disable display document domain done double
download driver drop dump edit element else email empty enable encode encrypt end endpoint engine entry enum env environment equal error
eval event example exception exec execute exit expect export expose extend extends external false fetch field file filter final finally find
first flag float flush folder force format forward found frame from function generate get getter git github global google grant group guard
handle handler hash head header heading height hello help hidden history home hook host hostname html http https icon id ignore image
implements import include index info init input insert install instance instanceof int integer interface internal is isadmin item iter
javascript join json key keyword kind label lambda language last layer layout length let level library license limit line link list listen
load local localhost location lock log logger login logout loop mail main make manager map mask master match max memory merge message meta
method microsoft min mode model module monitor mount move name namespace native nested net network new next node none normal notify null
number object offset open operator option options order origin output override owner package page param parameter params parent parse
partial pass passcode password patch path pattern pause payload payment paypal permission phone pid pin pipe plugin point policy pool pop
port position post prefix present price print printf private process product profile program project promise property protected proto
protocol provider proxy public publish pull push python query queue quit quote random range raw read reader ready receive record
redirect ref reference refresh register regex region reject release reload remote remove rename render repeat replace reply report
repository request require required reset resolve resource response rest result resume retry return reverse revoke role rollback root route
router row rule run runtime safe salt sample save scale scan schema scope score script search secret section secure security select self send
sender server service session set setting settings setup share shell shutdown sign signal signature signed size skip sleep slice socket sort
source space split stack start state static status stop storage store stream strict string strip struct style submit success sudo suffix
sum super support switch symbol sync system tab table tag target task team temp template test text theme this thread throw time
timeout title token tool top total trace track transaction transfer transform transport trigger true try type typeof uint undefined union
unique unit unknown unlock update upgrade upload url user username utf utils value var variable vector verify version view visible void volatile
wait wallet watch weight while widget width window with worker workspace wrap write writer xml yield zero zip zone
"""

WORD_MIN_CHARS = 3
"""A shorter word (the Greek letters of formulas, the Cyrillic "на") says nothing."""

# A letter of one of these spellings is at home next to its companions: Turkish, Nordic, French.
_COMPANIONS = {
    "ı": frozenset("şŞğĞİçÇöÖüÜ"),
    "æ": frozenset("øØåÅéÉðÐþÞ"),
    "Æ": frozenset("øØåÅéÉðÐþÞ"),
    "œ": frozenset("éÉèÈàÀçÇêÊ"),
    "Œ": frozenset("éÉèÈàÀçÇêÊ"),
}


@cache
def table() -> dict[int, str]:
    """Code point -> skeleton, for `str.translate`; read once.

    Raises:
        GuardDataError: the file that came with Mohist is damaged.
    """
    try:
        lines = TABLE.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        return {int(point, 16): skeleton for point, skeleton in rows}
    except (OSError, ValueError) as error:
        raise GuardDataError(
            f"The table of look-alike characters can't be read: {error}.", "Install Mohist again."
        ) from None


@cache
def letters() -> frozenset[str]:
    """The characters beyond ASCII that look like ASCII letters or digits."""
    return frozenset(chr(point) for point in table() if point >= 0x80)


def skeleton(word: str) -> str:
    """What a word looks like; two words that look alike have the same one. ASCII where all of it looks so."""
    if not word.isascii():
        word = unicodedata.normalize("NFD", word)
    return word.translate(table())


def skeletons(words: Iterable[str]) -> frozenset[str]:
    """Of words of ASCII."""
    return frozenset(skeleton(word) for word in words if len(word) >= WORD_MIN_CHARS)


@cache
def common() -> frozenset[str]:
    """Skeletons of the keywords and names that every program knows; also as they are written with capitals."""
    words = {*keyword.kwlist, *(name for name in dir(builtins) if not name.startswith("_")), *_COMMON.split()}
    return skeletons({*words, *(word.capitalize() for word in words), *(word.upper() for word in words)})


def at_home(word: str, text: str, around: str) -> bool:
    """Whether a word is one of another spelling or script and stands among its like.

    Args:
        word: the suspect.
        text: all of it.
        around: the stretch of text next to the word, without it.
    """
    odd = {character for character in word if not character.isascii()}
    if all(character in _COMPANIONS for character in odd):
        return any(not _COMPANIONS[character].isdisjoint(text) for character in odd)
    if any(character.isascii() and character.isalpha() for character in word):
        return False
    scripts = {_script(character) for character in word if character.isalpha()}
    table_of = table()
    return len(scripts) == 1 and any(
        not character.isascii() and ord(character) not in table_of and _script(character) in scripts
        for character in around
    )


@lru_cache(maxsize=8192)
def _script(character: str) -> str:
    """The first word of a character's name: "LATIN", "CYRILLIC", "GREEK"."""
    return unicodedata.name(character, "UNKNOWN").partition(" ")[0]


def mixes(word: str) -> bool:
    """Whether a word of ASCII letters has some of a script that no spelling mixes with them (Greek ones stand in formulas)."""
    scripts = {_script(character) for character in word if not character.isascii() and character.isalpha()}
    return not scripts.isdisjoint(_NEVER_MIXED) and any(
        character.isascii() and character.isalpha() for character in word
    )


def stands_in(wanted: str, data: bytes) -> bool:
    """Whether a text holds an ASCII word with this skeleton; `data` comes from `folded`."""
    needle, at = wanted.encode("ascii"), -1
    while (at := data.find(needle, at + 1)) >= 0:
        before, after = data[at - 1] if at else 0x20, data[at + len(needle)] if at + len(needle) < len(data) else 0x20
        if before not in _WORD_BYTES and after not in _WORD_BYTES:
            return True
    return False


def folded(data: bytes) -> bytes:
    """UTF-8 with its ASCII words brought to skeletons."""
    return data.translate(_FOLD).replace(b"m", b"rn")


_NEVER_MIXED = frozenset(("CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"))
_FOLD = bytes.maketrans(b"01I", b"Oll")
_WORD_BYTES = frozenset((*b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_", *range(0x80, 0x100)))
