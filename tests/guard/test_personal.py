"""Personal data is found by what it is made of, and lookalikes of code are not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mohist.guard import Block, Finding, Scanner, View, keyed
from mohist.guard.matcher import build_matcher
from mohist.guard.personal import personal_detector
from mohist.guard.personal.checksum import credit_code, iban, luhn, resident

SEED = 20261123
DETECTOR = personal_detector()
SCANNER = Scanner([DETECTOR], build_matcher([DETECTOR]), keyed(b"a key for tests"))


def found(text: str) -> list[Finding]:
    return list(SCANNER.scan([Block(text, "file", "notes.txt")])[0].findings)


def classes(text: str) -> set[str]:
    return {finding.data_class for finding in found(text)}


def resident_id(draw: random.Random) -> str:
    """A valid number, its check digit by the text of GB 11643 (not by the code under test)."""
    province = draw.choice([11, 12, 13, 21, 31, 32, 33, 37, 41, 44, 50, 51, 53, 61, 65])
    body = f"{province}{draw.randrange(1, 30):02d}{draw.randrange(1, 30):02d}{draw.randrange(1930, 2024)}{draw.randrange(1, 13):02d}{draw.randrange(1, 29):02d}{draw.randrange(1000):03d}"
    left = next(check for check in range(11) if (sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(body)) + check) % 11 == 1)  # fmt: skip
    return body + ("X" if left == 10 else str(left))


def mobile(draw: random.Random) -> str:
    head = draw.choice(
        ["130", "135", "139", "145", "147", "150", "155", "159", "166", "170", "176", "180", "186", "189", "191", "198"]
    )
    return head + f"{draw.randrange(10**8):08d}"


def bank_card(draw: random.Random) -> str:
    head = draw.choice(["622202", "622848", "621700", "621226", "623052", "625965"])
    body = head + "".join(str(draw.randrange(10)) for _ in range(draw.choice([9, 12])))
    return body + next(str(digit) for digit in range(10) if _adds_up(body + str(digit)))


def _adds_up(number: str) -> bool:
    doubled = [int(digit) for digit in number[-2::-2]]
    return (sum(map(int, number[-1::-2])) + sum(sum(divmod(2 * digit, 10)) for digit in doubled)) % 10 == 0


def credit(draw: random.Random) -> str:
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    region = draw.choice(["110105", "310115", "440305", "330106", "510104"])
    body = draw.choice(["91", "92", "93", "51", "12", "11"]) + region + "".join(draw.choice(letters) for _ in range(9))
    total = sum(letters.index(letter) * pow(3, at, 31) for at, letter in enumerate(body))
    return body + letters[-total % 31]


TEXTS = (
    "{}",
    "身份信息：{}，请核对。",
    "客户{}已登记",
    "张三,{},2024-01-02\n",
    '{{"value": "{}"}}',
    "please call {} or write",
    "[{}] [{}]",
    "编号\t{}\t备注",
    "user_{} = 1",
    "1,20240102,1700000000,{},1700000001,99",
    "https://crm.firma.cn/users/{}/orders",
    "dial({})",
    "scan-{}.jpg",
    "x={};",
    "('{}', 1, 2)",
)


@pytest.mark.parametrize(
    ("make", "data_class"),
    [
        (resident_id, "personal.cn.resident-id"),
        (mobile, "personal.cn.mobile"),
        (credit, "personal.cn.credit-code"),
    ],
    ids=["resident", "mobile", "credit"],
)
def test_every_valid_chinese_identifier_is_found_in_every_surrounding(
    make: Callable[[random.Random], str], data_class: str
) -> None:
    draw = random.Random(SEED)
    missed = []
    for at in range(600):
        value = make(draw)
        text = TEXTS[at % len(TEXTS)].replace("{}", value).replace("{{", "{").replace("}}", "}")
        if not any(finding.data_class == data_class and text[finding.start : finding.end] == value for finding in found(text)):  # fmt: skip
            missed.append(text)
    assert missed == []


@pytest.mark.parametrize("text", ["银行卡号：{}", "开户行 招商银行 {}", "卡{}", "bank card: {}", '"card_no":"{}"'])
def test_every_bank_card_is_found_next_to_a_word_for_it(text: str) -> None:
    draw = random.Random(SEED)
    cards = [bank_card(draw) for _ in range(200)]
    assert [card for card in cards if "personal.cn.bank-card" not in classes(text.replace("{}", card))] == []


def test_a_bank_card_in_groups_needs_no_word() -> None:
    draw = random.Random(SEED)
    for _ in range(100):
        card = bank_card(draw)
        grouped = " ".join(card[at : at + 4] for at in range(0, len(card), 4))
        assert [finding.data_class for finding in found(f"打到 {grouped}，谢谢")] == ["personal.cn.bank-card"]


def test_a_bare_bank_card_is_found_with_less_certainty() -> None:
    draw = random.Random(SEED)
    for _ in range(100):
        (finding,) = found(f"见 {bank_card(draw)} 。")
        assert finding.data_class == "personal.cn.bank-card"
        assert finding.confidence <= 0.5


@pytest.mark.parametrize("make", [resident_id, bank_card, credit], ids=["resident", "card", "credit"])
def test_one_wrong_character_is_no_identifier(make: Callable[[random.Random], str]) -> None:
    draw = random.Random(SEED)
    for _ in range(200):
        value = make(draw)
        at = draw.randrange(8, 16)
        wrong = value[:at] + str((int(value[at], 36) + 1) % 10) + value[at + 1 :]
        if wrong != value:
            assert not {name for name in classes(f"身份证 银行卡 {wrong}") if name.startswith("personal.cn")} - {"personal.cn.mobile"}  # fmt: skip


def test_a_resident_number_in_groups_and_of_fifteen_digits_are_found() -> None:
    value = resident_id(random.Random(SEED))
    assert classes(f"{value[:6]} {value[6:14]} {value[14:]}") == {"personal.cn.resident-id"}
    old = value[:6] + value[8:17]
    assert classes(f"身份证号码 {old}") == {"personal.cn.resident-id"}
    assert classes(f"订单 {old}") == set()


@pytest.mark.parametrize(
    "text",
    ["+86 138-1234-5670", "8613812345670", "+8613812345670", "0086 138 1234 5670", "138 1234 5670", "138-1234-5670"],
)
def test_a_mobile_number_is_found_as_people_write_it(text: str) -> None:
    assert classes(f"我的电话是{text}。") == {"personal.cn.mobile"}


@pytest.mark.parametrize(
    ("text", "data_class"),
    [
        ("护照号 E12345678", "personal.cn.passport"),
        ("Passport No. EA1234567", "personal.cn.passport"),
        ("港澳通行证 C12345678", "personal.cn.permit"),
        ("车牌号：京A·12345", "personal.cn.plate"),
        ("新能源车牌 粤BD12345", "personal.cn.plate"),
        ("联系电话：010-62345678", "personal.cn.phone"),
        ("姓名：欧阳修文", "personal.name"),
        ('"联系人": "王小明"', "personal.name"),
        ("请找李强经理", "personal.name"),
        ("北京市朝阳区建国路88号", "personal.address"),
        ("收货地址：广东省深圳市南山区科技园南路12号", "personal.address"),
    ],
)
def test_what_only_words_around_make_personal_is_found(text: str, data_class: str) -> None:
    assert data_class in classes(text)


@pytest.mark.parametrize(
    "text",
    [
        "E12345678",
        "C12345678 build",
        "京A12345 不是什么",
        "010-62345678",
        "姓名：不能为空",
        "姓名：字段类型",
        "联系人列表",
        "一路走好，路88号线",
        "0.13812345678",
        "x = 6222021234567890123.5",
        "sha 1f13812345678a",
        "1.13812345678",
        "version 10.0.0.1 and 192.168.1.1 and 127.0.0.1",
        "2001:db8::1 at 12:30:45:10",
        "icon@2x.png @decorator git@github.com:a/b.git",
        "123-45-6789",
        "assert order() == 13812345678",
    ],
)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert classes(text) == set()


@pytest.mark.parametrize(
    ("text", "data_class"),
    [
        ("write to anna.meier@firma-beispiel.de today", "personal.email"),
        ("Tel. +49 30 901820", "personal.phone"),
        ("+44 20 7946 0958", "personal.phone"),
        ("call (212) 664-7665", "personal.phone"),
        ("IBAN DE89 3704 0044 0532 0130 00", "personal.iban"),
        ("GB82WEST12345698765432", "personal.iban"),
        ("visa 4929 4212 3460 0821", "personal.card"),
        ("card=5425233430109903", "personal.card"),
        ("server 93.184.216.34", "personal.ip"),
        ("peer 2a00:1450:4001:81b::200e", "personal.ip"),
        ("SSN: 536-90-4399", "personal.us.ssn"),
    ],
)
def test_the_rest_of_the_world_is_found(text: str, data_class: str) -> None:
    assert data_class in classes(text)


@pytest.mark.parametrize(
    "text",
    [
        "noreply@firma.de",
        "someone@example.com",
        "12+ann@users.noreply.github.com",
        "Copyright (c) 2020 Ann Bell <ann@bell.dev>",
        "Signed-off-by: Ann Bell <ann@bell.dev>",
    ],
)
def test_an_address_that_tells_little_counts_little(text: str) -> None:
    assert [finding.confidence <= 0.3 for finding in found(text)] == [True]


def test_a_public_address_of_a_machine_counts_little() -> None:
    assert [finding.confidence for finding in found("93.184.216.34")] == [0.3]


def test_a_row_of_a_customer_table_is_found_whole() -> None:
    draw = random.Random(SEED)
    for _ in range(100):
        values = [resident_id(draw), mobile(draw), bank_card(draw), credit(draw)]
        text = f"id,姓名,身份证,手机,银行卡,企业\n1000001,张三,{','.join(values)},20240102,1700000000000\n"
        places = {text[finding.start : finding.end] for finding in found(text)}
        assert set(values) <= places


def test_of_overlapping_hits_the_surest_stays() -> None:
    view = View("13812345670@qq.com, 13812345670")
    matches = build_matcher([DETECTOR]).matches(view)["personal"]
    hits = list(DETECTOR.detect(view, Block(view.text), matches))
    assert [hit.rule for hit in hits] == ["personal.email", "personal.cn.mobile"]


def test_the_place_is_that_of_the_value_alone() -> None:
    text = "姓名：王小明，手机：13812345670，邮箱：a.b@firma.de"
    assert {text[finding.start : finding.end] for finding in found(text)} == {"王小明", "13812345670", "a.b@firma.de"}


def test_rules_can_be_left_out() -> None:
    fewer = personal_detector(without=["ip4", "email"])
    assert {"ip4", "email"} & {pattern.name for pattern in fewer.patterns} == set()
    assert fewer.version != DETECTOR.version


def test_a_long_line_of_numbers_is_judged_in_reasonable_steps() -> None:
    draw = random.Random(SEED)
    text = " ".join(mobile(draw) for _ in range(5000))
    assert len(found(text)) == 5000


def test_check_digits_agree_with_published_examples() -> None:
    # GB 11643-1999 annex A; GB 32100-2015 (a ministry's published code); SWIFT's IBAN registry; ISO/IEC 7812 by a maker's test number.
    assert resident("11010519491231002X")
    assert not resident("110105194912310021")
    assert credit_code("91350100M000100Y43")
    assert iban("GB29NWBK60161331926819")
    assert luhn("4111111111111111")
