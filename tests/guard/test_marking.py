"""A marking counts where markings stand; prose and code about confidentiality don't."""

from __future__ import annotations

import pytest

from mohist.guard import Block, Finding, GuardRuleError, Hit, Scanner, Source, View, keyed
from mohist.guard.marking import marking_detector, path_detector
from mohist.guard.matcher import build_matcher

DETECTOR = marking_detector(own={"ACME BLUE": "document.confidential"})
SCANNER = Scanner([DETECTOR], build_matcher([DETECTOR]), keyed(b"a key for tests"))
BODY = "\n".join(f"Paragraph {at} tells of something else." for at in range(40))


def found(text: str) -> list[Finding]:
    return list(SCANNER.scan([Block(text, "tool_result")])[0].findings)


@pytest.mark.parametrize(
    ("text", "data_class"),
    [
        (f"CONFIDENTIAL\n\n{BODY}", "document.confidential"),
        (f"# STRICTLY CONFIDENTIAL\n{BODY}", "document.secret"),
        (f"{BODY}\n\nAcme Corp - INTERNAL USE ONLY - Page 3 of 7", "document.internal"),
        (f"** TLP:RED **\n{BODY}", "document.secret"),
        (f"TLP: AMBER+STRICT\n{BODY}", "document.confidential"),
        (f"Title\nClassification: Confidential\n{BODY}", "document.confidential"),
        (f"{BODY}\nData class: internal only\n{BODY}", "document.internal"),
        (f"机密★10年\n{BODY}", "document.secret"),
        (f"【内部资料 注意保存】\n{BODY}", "document.internal"),
        (f"密级：绝密\n{BODY}", "document.secret"),
        (f"北方公司 商业秘密\n{BODY}", "document.confidential"),
        (f"/* 公司机密 */\nint main;\n{BODY}", "document.secret"),
        (
            f"// Copyright Acme. All rights reserved.\n// This file is proprietary and confidential; unauthorized copying is prohibited.\n{BODY}",
            "document.confidential",
        ),
        (f"ACME BLUE\n{BODY}", "document.confidential"),
        (f"[Acme blue]\nsensitivity: acme blue\n{BODY}", "document.confidential"),
    ],
    ids=lambda value: ascii(value[:24]),
)
def test_a_marking_is_found_where_markings_stand(text: str, data_class: str) -> None:
    assert data_class in {finding.data_class for finding in found(text) if finding.confidence >= 0.8}


@pytest.mark.parametrize(
    "text",
    [
        "This section explains how confidential clients authenticate.",
        "Please keep this CONFIDENTIAL because the customer asked us to.",
        'CONFIDENTIAL = "confidential"',
        "    CONFIDENTIAL = 3",
        "if level == INTERNAL_ONLY: pass",
        "class Marking(Enum):\n    TOP_SECRET = auto()",
        "return Level.CONFIDENTIAL",
        "The TLP:RED label means that recipients may not share.",
        "我们应当保护商业秘密和个人信息。",
        "机密计算是一种技术",
        "这是机密信息，请勿外传给别人",
        "const x = '绝密';",
        "Confidential",
        '"CONFIDENTIAL",',
    ],
)
def test_a_mention_is_no_marking(text: str) -> None:
    assert found(f"{text}\n{BODY}") == []
    assert found(f"{BODY}\n{text}\n{BODY}") == []


def test_a_line_of_its_own_amid_a_text_counts_less_than_a_header() -> None:
    assert [finding.confidence for finding in found(f"{BODY}\nCONFIDENTIAL\n{BODY}")] == [0.55]
    twice = found(f"{BODY}\nCONFIDENTIAL\n{BODY}\nCONFIDENTIAL\n{BODY}")
    assert [finding.confidence for finding in twice] == [0.75, 0.75]


def test_the_longest_marking_decides() -> None:
    assert [finding.rule for finding in found(f"STRICTLY CONFIDENTIAL\n{BODY}")] == ["marking.secret"]


@pytest.mark.parametrize("text", ["", "X", "two\nlines"])
def test_a_companys_marking_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(GuardRuleError):
        marking_detector(own={text: "document.internal"})


def test_a_usual_marking_can_be_left_out() -> None:
    fewer = marking_detector(without=["internal only"])
    assert len(fewer.patterns) < len(DETECTOR.patterns)
    assert fewer.version != DETECTOR.version


PATHS = path_detector(
    {"services/pricing/**": "source.restricted", "*.model": "document.secret", "/vault/": "source.secret"}
)


def named(text: str, source: Source = "tool_result", path: str = "/messages/0") -> list[Hit]:
    return list(PATHS.detect(View(text), Block(text, source, path), {}))


@pytest.mark.parametrize(
    ("path", "data_class"),
    [
        ("/home/a/shop/services/pricing/rule.py", "source.restricted"),
        ("services/pricing/deep/er/x.go", "source.restricted"),
        ("services\\pricing\\rule.py", "source.restricted"),
        ("a/b/big.model", "document.secret"),
        ("vault/x", "source.secret"),
        ("services/pricing_page/x.py", None),
        ("other/vault/x", None),
        ("a.models", None),
    ],
)
def test_a_glob_fits_the_paths_it_means(path: str, data_class: str | None) -> None:
    assert PATHS.class_of(path) == data_class
    assert [hit.data_class for hit in named("any text", "file", path)] == ([data_class] if data_class else [])


@pytest.mark.parametrize(
    "text",
    [
        "diff --git a/services/pricing/rule.py b/services/pricing/rule.py\n@@ -1 +1 @@\n-a\n+b\n",
        "--- a/services/pricing/rule.py\n+++ b/services/pricing/rule.py\n@@ -1 +1 @@\n-a\n+b\n",
        "==> services/pricing/rule.py <==\nx = 1\n",
        '<file path="services/pricing/rule.py">\nx = 1\n</file>',
        "<document><source>services/pricing/rule.py</source>\nx",
        "File: services/pricing/rule.py\nx = 1",
        "文件：services/pricing/rule.py\nx = 1",
        "services/pricing/rule.py:12: x = 1",
        "# services/pricing/rule.py\nx = 1",
        "// /repo/services/pricing/rule.ts\nlet x = 1",
    ],
)
def test_a_text_that_names_its_file_is_of_that_file(text: str) -> None:
    assert [hit.data_class for hit in named(text)] == ["source.restricted"]


def test_only_the_part_under_the_header_counts() -> None:
    text = "==> a.py <==\nx = 1\n==> services/pricing/rule.py <==\ny = 2\n==> b.py <==\nz = 3\n"
    (hit,) = named(text)
    assert text[hit.start : hit.end] == "==> services/pricing/rule.py <==\ny = 2\n"


def test_a_call_that_asks_for_a_restricted_file_is_found() -> None:
    assert [hit.rule for hit in named("services/pricing/rule.py", "tool_call")] == ["path.asked-for"]
    assert [hit.rule for hit in named("cat ./services/pricing/rule.py | head", "tool_call")] == ["path.asked-for"]


def test_a_mention_in_prose_is_no_content() -> None:
    assert named("The prices are computed in services/pricing/rule.py, see there.") == []


@pytest.mark.parametrize("glob", ["", "*", "**/*", "/", "?"])
def test_a_glob_that_fits_everything_is_refused(glob: str) -> None:
    with pytest.raises(GuardRuleError):
        path_detector({glob: "source.restricted"})
