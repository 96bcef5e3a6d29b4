"""Rules find what they say: the catalogue's against a second opinion, ours and a company's by their examples."""

from __future__ import annotations

import base64
import importlib.util
import random
import re._constants as sre
import string
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kingfisher_sdk.rules import Rules
from kingfisher_sdk.scanner import Scanner as SecondOpinion

from mohist.guard import CERTAIN, Block, GuardDataError, GuardRuleError, Hit, Matcher, Scanner, View, keyed
from mohist.guard.matcher import build_matcher
from mohist.guard.secret import (
    VALIDATORS,
    Allowances,
    SecretDetector,
    catalogue,
    company_rules,
    filled,
    own_rules,
    read_allowances,
    read_rules,
    secret_detector,
)
from mohist.guard.secret.predicate import Candidate, predicate
from mohist.guard.secret.rulefile import own_text
from mohist.guard.secret.word import entropy, wordlike

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "src/mohist/guard/data/catalogue.json"


@cache
def extraction() -> ModuleType:
    specification = importlib.util.spec_from_file_location("guard_catalogue", ROOT / "scripts/guard_catalogue.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@cache
def upstream() -> Rules:
    return Rules(cache=False)


@cache
def shipped() -> tuple[SecretDetector, Matcher]:
    detector = secret_detector()
    return detector, build_matcher([detector], engine="re2")


def hits(text: str, block: Block | None = None) -> list[Hit]:
    detector, matcher = shipped()
    view = View(text)
    return list(detector.detect(view, block or Block(text), matcher.matches(view).get("secret", {})))


class Writer:
    """Writes texts that an expression matches, from its syntax tree."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def text(self, items: Any) -> str:
        return "".join(self._piece(op, value) for op, value in items)

    def _piece(self, op: Any, value: Any) -> str:
        if op is sre.LITERAL:
            return chr(value)
        if op is sre.IN:
            return self._random.choice(self._members(value))
        if op is sre.SUBPATTERN:
            return self.text(value[3])
        if op is sre.BRANCH:
            return self.text(self._random.choice(value[1]))
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, inner = value
            return "".join(self.text(inner) for _ in range(self._random.randint(low, min(int(high), low + 4))))
        return "" if op is sre.AT else self._random.choice("abcxyz019")

    def _members(self, items: Any) -> list[str]:
        word = set(string.ascii_letters + string.digits)
        categories = {
            sre.CATEGORY_DIGIT: set(string.digits),
            sre.CATEGORY_WORD: word | {"_"},
            sre.CATEGORY_SPACE: {" "},
            sre.CATEGORY_NOT_SPACE: word,
        }
        negated = items[0][0] is sre.NEGATE
        members: set[str] = set()
        for op, value in items[negated:]:
            if op is sre.LITERAL:
                members.add(chr(value))
            elif op is sre.RANGE:
                members |= {chr(point) for point in range(value[0], value[1] + 1)}
            else:
                members |= categories[value]
        if negated:
            members = set(map(chr, range(33, 127))) - members
        return sorted(members & word) or sorted(members)


def test_the_catalogue_is_what_the_script_makes_of_the_wheel() -> None:
    assert extraction().written(upstream()) == CATALOGUE.read_text(encoding="utf-8")


def test_every_rule_names_its_source_and_licence() -> None:
    notice = (CATALOGUE.parent / "NOTICE").read_text(encoding="utf-8")
    assert {(rule.source, rule.licence) for rule in catalogue()} == {("betterleaks", "MIT"), ("veles", "Apache-2.0")}
    assert "Copyright (c) 2026 Zachary Rice" in notice
    assert "Copyright 2025-2026 Google LLC" in notice
    assert len(catalogue()) > 440


def test_a_filter_of_unknown_form_stops_the_extraction() -> None:
    module = extraction()
    for node in (
        {"kind": "call", "callee": {"kind": "identifier", "value": "askNetwork"}, "arguments": []},
        {"kind": "x"},
    ):
        with pytest.raises(module.UnknownFormError):
            module.Filter().predicate(node)


def test_what_a_second_opinion_finds_is_found() -> None:
    """Texts made from each rule's own expression, seen by the wheel's engine and by ours; a value counts, whoever names it."""
    other = SecondOpinion(upstream(), base64=False)
    writer = Writer(20261123)
    missed: list[str] = []
    seen = 0
    for rule in catalogue():
        narrow = rule.expression.replace(extraction().WIDER_TAIL, extraction().TAIL)
        tree = extraction().parser.parse(extraction().pythonic(narrow))
        text = f"x = 1\n{writer.text(tree)}\nend\n"
        ours = hits(text)
        for finding in other.scan(text):
            if finding.visible and finding.rule_id.replace("secrets/", "") == rule.id:
                seen += 1
                if not any(finding.secret.strip() in text[hit.start : hit.end] for hit in ours):
                    missed.append(rule.id)
    assert missed == []
    assert seen > 300


def test_our_own_rules_have_the_form_that_a_companys_must_have() -> None:
    read = read_rules(own_text(), source="mohist", where="own.toml", checked=False)
    ours = own_rules()
    assert (read.matches, read.passes) == (ours.matches, ours.passes)
    for one, other in zip(read.rules, ours.rules, strict=True):
        # What a rule drops is a function; `filters` is what it was made from.
        assert replace(one, drop=other.drop, weak=other.weak) == other


@pytest.mark.parametrize("rule", [rule.id for rule in own_rules().rules])
def test_our_rules_have_three_examples_of_each_sort(rule: str) -> None:
    own = own_rules()
    assert len(own.matches[rule]) >= 3
    assert len(own.passes[rule]) >= 3


def test_our_rules_do_as_their_examples_say_and_cost_what_a_company_s_may() -> None:
    own = own_rules()
    assert [example for example in own.examples() if example.found is not example.expected] == []
    assert own.refusals("own.toml") == []


def test_examples_are_the_same_each_time_and_keep_other_braces() -> None:
    assert filled("a-{hex:8} {uuid}") == filled("a-{hex:8} {uuid}") != filled("b-{hex:8} {uuid}")
    assert filled('{"a": {x}} ${HOME} {0}') == '{"a": {x}} ${HOME} {0}'
    with pytest.raises(GuardRuleError, match="no template"):
        filled("{hexx:8}")


@pytest.mark.parametrize(
    ("template", "rule", "proved"),
    [
        ("ghp_{crc62:30}", "betterleaks.github-pat", True),
        ("ghp_{alnum:36}", "betterleaks.github-pat", False),
        ("npm_{crc62:30}", "veles.npmjsaccesstoken", True),
        ("{nkey}", "mohist.nkey-seed", True),
        ("-----BEGIN PRIVATE KEY-----\n{der:600}\n-----END PRIVATE KEY-----", "betterleaks.private-key", True),
        ("-----BEGIN PRIVATE KEY-----\n{b64:600}\n-----END PRIVATE KEY-----", "betterleaks.private-key", False),
    ],
)
def test_a_checksum_decides_how_sure_a_finding_is(template: str, rule: str, proved: bool) -> None:
    found = {hit.rule: hit.confidence for hit in hits(f"x = '{filled(template)}'")}
    assert rule in found
    assert (found[rule] >= CERTAIN) is proved
    assert proved or found[rule] <= 0.5


def test_validators_know_a_value_of_their_form() -> None:
    import zlib

    body = "gl" + "sa_" + filled("{alnum:32}")
    grafana = f"{body}_{zlib.crc32(body.encode()).to_bytes(4, 'little').hex()}"
    # Test vector of BIP 173 for the checksum; the account number in AWS's own example key.
    for name, value, verdict in (
        ("grafana", grafana, True),
        ("grafana", grafana[:-1] + ("0" if grafana[-1] != "0" else "1"), False),
        ("bech32", "A12UEL5L", True),
        ("bech32", "A12UEL5M", False),
        ("luhn", "4111 1111 1111 1111", True),
        ("luhn", "4111 1111 1111 1112", False),
        ("jwt", filled("eyJhbGciOiJIUzI1NiJ9.{b64url:40}.{b64url:43}"), None),
        ("jwt", filled("eyJhbGci{b64url:20}.{b64url:40}.{b64url:43}"), False),
        ("basic", filled("{basic}"), None),
        ("basic", filled("{b64:24}"), "not one"),
        ("basic", "login_and_password_removed", "not one"),
        ("basic", base64.b64encode(b"user:password").decode(), "doubtful"),
        ("basic", base64.b64encode(b"robot:robot").decode(), "doubtful"),
        ("aws-id", "AKIA" + "7" * 16, False),
        ("aws-id", "AKIA" + "A" * 16, None),
        ("pem", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END", "not one"),
        (
            "pem",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n" + base64.b64encode(b"\x95" * 60).decode() + "\n-----END",
            None,
        ),
        ("pem", filled("-----BEGIN RSA PRIVATE KEY-----\\n{der:300}\\n-----END"), True),
        ("pem", filled("-----BEGIN RSA PRIVATE KEY-----\n{b64:200}\n-----END"), False),
        ("pem", "-----BEGIN PRIVATE KEY-----\n' + chunk_split(encode($key), 64) + '-----END", "not one"),
        ("cut-key", filled("-----BEGIN RSA PRIVATE KEY-----\n{der:300}"), None),
        ("cut-key", filled("-----BEGIN RSA PRIVATE KEY-----\n{der:300}")[:100], False),
        ("cut-key", filled("{der:300}")[:60], False),
        ("nkey", "SU" + "A" * 56, False),
    ):
        assert VALIDATORS[name](value) == verdict, (name, value[:8], verdict)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:5432"])
@pytest.mark.parametrize(
    ("password", "masked"),
    [("q7Vz2mKw", True), ("mzqxslj", True), ("my_password", False), ("${DB_PASSWORD}", False), ("postgres", False), ("123456", False)],
)  # fmt: skip
def test_a_password_in_an_address_counts_wherever_it_leads_unless_it_is_made_of_words(
    host: str, password: str, masked: bool
) -> None:
    found = [hit.confidence for hit in hits(f"DB='myql://app:{password}@{host}/x'")]
    assert any(confidence >= 0.5 for confidence in found) is masked


def test_a_header_without_name_and_password_is_not_even_masked() -> None:
    (wrong,) = hits("Authorization: Basic login_and_password_removed")
    (right,) = hits(f"Authorization: Basic {filled('{basic}')}")
    assert wrong.confidence < 0.5
    assert right.confidence >= 0.9


def test_the_parts_of_a_key_in_javascript_are_found_without_quotes() -> None:
    text = filled("const key = {\n  kty: 'RSA',\n  n: '{b64url:342}',\n  d: '{b64url:341}',\n  p: '{b64url:171}',\n}")
    assert [hit.rule for hit in hits(text)] == ["mohist.jwk-private"] * 2


def test_half_of_a_pair_counts_only_beside_the_other() -> None:
    key_id, secret = filled("LTAI{alnum:20}"), filled("{alnum:30}")
    rule = "betterleaks.alibaba-secret-key"
    assert rule not in {hit.rule for hit in hits(f"key = '{secret}'")}
    near = {hit.rule for hit in hits(f"id = '{key_id}'\nkey = '{secret}'")}
    far = {hit.rule for hit in hits(f"id = '{key_id}'\n{'.' * 500}\nkey = '{secret}'")}
    assert rule in near
    assert rule not in far


def test_a_rule_for_a_kind_of_file_knows_the_path_and_is_less_sure_without() -> None:
    text = '<add key="Password" value="' + filled("{alnum:16}") + '" />'

    def sure(block: Block) -> list[float]:
        return [hit.confidence for hit in hits(text, block) if hit.rule == "betterleaks.nuget-config-password"]

    (known,) = sure(Block(text, "file", r"src\NuGet.Config"))
    (unknown,) = sure(Block(text, "user", "/messages/0/content"))
    assert known > unknown
    assert sure(Block(text, "file", "a.py")) == []


def test_examples_hosts_make_a_finding_weak() -> None:
    password = filled("{alnum:14}")
    (strong,) = hits(f"postgres://app:{password}@db.corp.net/x")
    (near,) = hits(f"postgres://app:{password}@localhost/x")
    (word,) = hits("postgres://app:correct-password@localhost/x")
    assert strong.confidence > 0.7 > near.confidence > 0.5 > word.confidence


@pytest.mark.parametrize(
    "value", ["your_api_key_goes_here_please_now", "x" * 32, "true", "${SECRET}", "${{ secrets.KEY }}"]
)
def test_placeholders_are_no_secrets(value: str) -> None:
    assert hits(f'datadog_key = "{value}"') == []


def test_a_short_mark_within_a_longer_run_of_base64_is_hardly_a_secret() -> None:
    key, run = filled("BSA{alnum:30}"), filled("{b64:80}") + "/"
    (alone,) = hits(f"k = {key};")
    (within,) = hits(f"k = {run}{key};")
    (path,) = hits(f"https://brave.example.org/search/key/{key};")
    assert alone.confidence == path.confidence > 0.8
    assert within.confidence < 0.5


def test_what_everybody_knows_is_no_secret() -> None:
    # The key of the storage emulator, which Microsoft documents; in two parts, so that no scanner stops at this line.
    known = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFs" + "uFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    assert hits(f"AccountName=devstoreaccount1;AccountKey={known};") == []
    assert hits(f"AccountName=devstoreaccount1;AccountKey={known.swapcase()};") != []


def test_words_and_random_values_are_told_apart() -> None:
    assert wordlike("organization_access_key_identifier") > 2.5 > wordlike(filled("{lower:40}"))
    assert entropy("") == 0.0
    assert entropy("aaaa") == 0.0
    assert entropy("abcd") == 2.0


def test_predicates_see_the_value_its_match_its_line_and_its_name() -> None:
    text = "first\n  client_box: key = 'abc' # end\nlast"
    start = text.index("box")
    candidate = Candidate(text, start, text.index("' #") + 1, text.index("abc"), text.index("abc") + 3, "a/b.py")
    for form, holds in (
        (["contains", "value", ["ABC"]], True),
        (["contains", "line", ["# end"]], True),
        (["contains", "line", ["last"]], False),
        (["contains", "name", ["client_"]], True),
        (["starts", "match", ["box"]], True),
        (["ends", "path", [".py"]], True),
        (["matches", "value", ["^b", "^a"]], True),
        (["all", ["entropy", "<", 2], ["not", ["any"]]], True),
        (["any", ["wordlike", ">=", 9], ["shared", 0]], True),
    ):
        assert predicate(form, [lambda _: True])(candidate) is holds, form
    for form in (["shared", 1], ["nothing"], ["contains", "secret", ["x"]], ["entropy", ">", 3], "x", []):
        with pytest.raises(GuardDataError, match="form that is not known"):
            predicate(form, [lambda _: True])


def test_a_url_s_host_is_what_follows_the_last_at() -> None:
    text = "https://u:p@ss@Git.Example.org:8443/x.git "
    candidate = Candidate(text, 0, len(text), 8, 9, "")
    assert (candidate.host, candidate.uri) == ("git.example.org", "https://u:p@ss@Git.Example.org:8443/x.git")


COMPANY = """
[[rule]]
id = "vault"
name = "Token of our vault"
expression = 'acme-[a-z]{2}-([0-9a-f]{32})'
keywords = ["acme-"]
matches = ["acme-eu-{hex:32}"]
passes = ["acme-eu-test"]
"""


def test_a_company_s_rules_are_found_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(COMPANY, encoding="utf-8")
    detector = secret_detector([path])
    scanner = Scanner([detector], build_matcher([detector], engine="re2"), keyed(b"k"))
    (found,) = scanner.scan([Block(filled("t = acme-eu-{hex:32}"))])
    assert [(finding.rule, finding.data_class) for finding in found.findings] == [("company.vault", "secret.company")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("[0-9a-f]{32}", "[0-9a-f]{32}(?!x)"), "'company.vault'.*refused by RE2"),
        (("acme-[a-z]{2}-([0-9a-f]{32})", r"(\w)\1"), "'company.vault'.*refused by RE2"),
        (("acme-[a-z]{2}-([0-9a-f]{32})", "(?:a{1000}){9}"), "'company.vault'.*refused by RE2"),
        (("acme-[a-z]{2}-", "acme-.{0,999}a.{0,999}b.{0,999}c.{0,999}d.{0,999}"), "'company.vault'.*too large"),
        (("acme-[a-z]{2}-([0-9a-f]{32})", r"[a-z]+"), "'company.vault'.*ordinary text"),
        (("acme-eu-{hex:32}", "acme-eu-{hex:31}"), r"'company.vault'.*'acme-eu-\{hex:31\}' is not found"),
        (("acme-eu-test", "acme-us-{hex:32}"), r"'company.vault'.*is found"),
        (('passes = ["acme-eu-test"]', "passes = []"), "'company.vault'.*an example that matches and one that passes"),
        (('name = "', 'color = "'), "rule.0.color: Extra inputs"),
        (('id = "vault"', 'id = "Vault!"'), "rule.0.id"),
        (('id = "vault"', 'id = "vault"\nvalidator = "ask-them"'), "validator that is not there"),
        (('id = "vault"', 'id = "vault"\ndrop = ["nothing"]'), "'vault'.*form that is not known"),
        (('id = "vault"', 'id = "vault"\npath = "(?=x)"'), "path by an expression that RE2 refuses"),
        (('id = "vault"', 'id = "vault"\nsure = "very"'), "'vault'.*`sure`"),
        (('["acme-"]', '["ACME-"]'), "lower case"),
        (("[[rule]]", "[[rule"), "no TOML"),
    ],
)
def test_a_company_s_rule_that_can_t_be_taken_is_named_with_the_reason(change: tuple[str, str], reason: str) -> None:
    with pytest.raises(GuardRuleError, match=f"(?s)rules.toml.*{reason}|{reason}"):
        read_rules(COMPANY.replace(*change), source="company", where="rules.toml")


def test_two_rules_of_one_name_and_unknown_switches_are_refused() -> None:
    with pytest.raises(GuardRuleError, match=r"Two rules are named 'company\.vault'"):
        read_rules(COMPANY * 2, source="company", where="rules.toml")
    with pytest.raises(GuardRuleError, match=r"no rule 'betterleaks\.nothing'"):
        secret_detector(without=["betterleaks.nothing"])
    assert "betterleaks.jwt" not in secret_detector(without=["betterleaks.jwt"]).rules


def test_a_file_that_is_not_there_not_text_or_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GuardDataError, match="can't be read"):
        company_rules(tmp_path / "none.toml")
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GuardRuleError, match="not UTF-8"):
        company_rules(path)
    path.write_bytes(b"#" * (4 << 20) + b"\n")
    with pytest.raises(GuardRuleError, match="larger than"):
        company_rules(path)


def test_the_version_changes_with_the_rules_and_only_then() -> None:
    assert (
        secret_detector().version == secret_detector().version != secret_detector(without=["betterleaks.jwt"]).version
    )
    drop = COMPANY.replace('id = "vault"', 'id = "vault"\ndrop = ["entropy", "<", 1]')
    one, other = (SecretDetector(read_rules(text, source="c", where="x").rules) for text in (COMPANY, drop))
    assert one.version != other.version


ALLOW = """
[[allow]]
value = "0123456789abcdef0123456789abcdef"
reason = "printed in the manual"
owner = "docs team"

[[allow]]
rule = "betterleaks.jwt"
path = "tests/*.json"
reason = "signed with the test key"
owner = "platform"
until = 2026-12-31
"""


def finding(rule: str, digest: str = "f" * 32) -> Any:
    from mohist.guard import Finding

    return Finding("secret", rule, "secret.token", 0, 1, 0.9, "…", digest)


def test_what_a_company_lets_pass_is_a_value_or_a_rule_and_a_path_until_a_day() -> None:
    allowances = read_allowances(ALLOW, where="allow.toml")
    before, after = (Allowances(allowances, day) for day in (date(2026, 12, 31), date(2027, 1, 1)))
    by_value = finding("veles.x", "0123456789abcdef0123456789abcdef")
    by_path = finding("betterleaks.jwt")
    assert before.why(by_value, "") is not None
    assert after.why(by_value, "") is not None
    assert before.why(by_path, "tests/a/b.json") is not None
    assert after.why(by_path, "tests/a/b.json") is None
    assert before.why(by_path, "src/a.json") is None
    assert before.why(finding("veles.x"), "tests/a.json") is None
    assert before.why(by_path, "") is None
    assert [one.owner for one in after.expired] == ["platform"]
    assert before.expired == []


@pytest.mark.parametrize(
    "text",
    [
        '[[allow]]\nreason = "all of it"\nowner = "me"',
        '[[allow]]\nrule = "*"\npath = "**"\nreason = "all of it"\nowner = "me"',
        '[[allow]]\nrule = "a"\nowner = "me"',
        '[[allow]]\nrule = "a"\nreason = "why not"',
        '[[allow]]\nvalue = "secret"\nreason = "why not"\nowner = "me"',
        "[[allow",
    ],
    ids=["nothing named", "everything", "no reason", "no owner", "no hash", "no toml"],
)
def test_an_allowance_needs_a_narrow_object_a_reason_and_an_owner(text: str) -> None:
    with pytest.raises(GuardRuleError, match=r"allow\.toml"):
        read_allowances(text, where="allow.toml")


def test_marks_inside_a_text_are_not_honoured() -> None:
    token = filled("ghp_{crc62:30}")
    for mark in ("gitleaks:allow", "betterleaks:allow", "nosec", "pragma: allowlist secret", "kingfisher:ignore"):
        assert [hit.rule for hit in hits(f"token = '{token}'  # {mark}")] == ["betterleaks.github-pat"]
