"""What the one pass looks for. The expressions are wide; `judge` decides."""

from __future__ import annotations

from mohist.guard.detector import Pattern

HAN = "[一-鿿]"
# Where a number or word begins. Every start is matched by itself, so an expression without it would be confirmed at each digit
# of a long run; an underscore belongs to the word in RE2, and yet numbers stand behind it ("user_138…").
_HEAD = r"(?:\b|_)"

PLATE_HEADS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"

RESIDENT_WORDS = ("身份证", "证件号", "公民身份", "idcard", "id_card", "id card", "identity card", "sfz")
PASSPORT_WORDS = ("护照", "passport")
PERMIT_WORDS = ("通行证", "回乡证", "港澳", "台胞证", "permit")
PLATE_WORDS = ("车牌", "号牌", "车号", "牌照", "plate")
LANDLINE_WORDS = ("电话", "座机", "传真", "热线", "tel", "phone", "fax")
PHONE_WORDS = ("phone", "tel", "mobile", "cell", "fax", "call", "whatsapp", "sms", "电话", "手机")
CARD_WORDS = ("card", "卡", "账号", "帐号", "账户", "visa", "mastercard", "amex", "unionpay", "银联", "pan", "开户", "debit", "credit", "iban", "account")  # fmt: skip
SSN_WORDS = ("ssn", "social security", "social-security", "social_security", "taxpayer", "tin")
NAME_WORDS = ("姓名", "联系人", "收货人", "收件人", "寄件人", "负责人", "法定代表人", "法人", "申请人", "经办人", "户名", "持卡人", "客户名称", "真实姓名")  # fmt: skip
TITLES = ("先生", "女士", "小姐", "同志", "老师", "经理", "总监", "主任", "医生")
STREETS = ("路", "街", "道", "巷", "弄", "胡同", "里", "村", "镇", "苑", "园", "小区")


def _any(words: tuple[str, ...] | str) -> str:
    return "(?:" + "|".join(words) + ")"


# Numbers have no letters that an automaton could leap to, and with their counts and borders written out twenty patterns of them took
# a quarter of the pass: what is looked for everywhere is less, and stands within each match.
_ANCHORS = {
    "phone": r"\+[1-9][0-9]{0,2}[ .\-]?\(?[0-9]",
    "card": r"[0-9]{13}",
    "card-grouped": r"[0-9]{4}[ \-][0-9]{4}[ \-]|[0-9]{4}[ \-][0-9]{6}[ \-]|[0-9]{4}[ \-][0-9]{13}",
    "us-phone": r"[0-9](?:\) ?|[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}",
    "iban": r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}",
    "ip4": r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    "cn.mobile": r"1[3-9][0-9][ \-]?[0-9]{4}[ \-]?[0-9]{4}",
    "cn.resident-id": r"[0-9][ \-]?(?:18|19|20)[0-9]{6}[ \-]?[0-9]{3}",
    "cn.resident-id-old": r"[0-9]{13}",
    "cn.credit-code": r"[0-9]{6}[0-9A-HJ-NP-RTUWXY]{10}",
    "cn.phone": r"0[1-9][0-9]{1,2}[) \-]{1,2}[2-9][0-9]{6}",
    "cn.permit": r"[CHMW][A-Z0-9][0-9]{7}",
    "ip6": r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:",
}


def _pattern(
    name: str,
    expression: str,
    *,
    width_bytes: int,
    ignore_case: bool = False,
    keywords: tuple[str, ...] = (),
    rare: bool = False,
) -> Pattern:
    return Pattern(name, expression, ignore_case, keywords, width_bytes, _ANCHORS.get(name, ""), rare)


PATTERNS = (
    _pattern("email", r"\b[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.){1,6}[A-Za-z]{2,24}", width_bytes=320),
    _pattern("phone", r"\+[1-9][0-9]{0,2}(?:[ .\-]?\(?[0-9]{1,5}\)?){2,6}", width_bytes=64),
    _pattern(
        "us-phone",
        r"\(?[2-9][0-9]{2}(?:\) ?|[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}",
        width_bytes=24,
    ),
    _pattern("iban", _HEAD + r"([A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)", width_bytes=48),
    _pattern("card", _HEAD + r"([2-69][0-9]{12,18})", width_bytes=24),
    _pattern(
        "card-grouped",
        _HEAD
        + r"((?:[2-69][0-9]{3}(?:[ \-][0-9]{4}){3}(?:[ \-]?[0-9]{1,3})?|3[47][0-9]{2}[ \-][0-9]{6}[ \-][0-9]{5}|62[0-9]{4}[ \-][0-9]{13}))",
        width_bytes=32,
    ),
    _pattern("ip4", r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}", width_bytes=20),
    _pattern("ip6", r"\b[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{1,4}", width_bytes=48),
    _pattern("ssn", _HEAD + r"([0-9]{3}-[0-9]{2}-[0-9]{4})", keywords=SSN_WORDS, width_bytes=16),
    _pattern(
        "cn.resident-id",
        _HEAD
        + r"([1-9][0-9]{5}[ \-]?(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[ \-]?[0-9]{3}[0-9Xx])",
        width_bytes=24,
    ),
    _pattern(
        "cn.resident-id-old",
        _HEAD + r"([1-9][0-9]{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3})",
        keywords=RESIDENT_WORDS,
        width_bytes=20,
    ),
    _pattern("cn.mobile", r"(?:\b|_|\+)((?:(?:00)?86[ \-]?)?1[3-9][0-9](?:[ \-]?[0-9]{4}){2})", width_bytes=24),
    _pattern("cn.phone", r"\(?0[1-9][0-9]{1,2}[) \-]{1,2}[2-9][0-9]{6,7}", keywords=LANDLINE_WORDS, width_bytes=24),
    _pattern(
        "cn.credit-code", _HEAD + r"([1-9ANY][1-9][0-9]{6}[0-9A-HJ-NP-RTUWXY]{10})", ignore_case=True, width_bytes=20
    ),
    _pattern(
        "cn.passport",
        _HEAD + r"((?:[EGP][0-9]{8}|E[A-HJ-NP-Z][0-9]{7}|[DSP][E]?[0-9]{7}))",
        keywords=PASSPORT_WORDS,
        width_bytes=12,
        rare=True,
    ),
    _pattern("cn.permit", _HEAD + r"([CHMW][A-Z0-9][0-9]{7}(?:[0-9]{2})?)", keywords=PERMIT_WORDS, width_bytes=12),
    _pattern(
        "cn.plate",
        _any(PLATE_HEADS) + r"[A-HJ-NP-Z](?:·|\.| |-)?[A-HJ-NP-Z0-9]{4,5}(?:[A-HJ-NP-Z0-9]|挂|学|警|港|澳)",
        keywords=PLATE_WORDS,
        width_bytes=24,
    ),
    _pattern(
        "cn.name",
        _any(NAME_WORDS) + r"[\"'”]?(?: |\t)?(?::|：|=|为|是)?(?: |\t)?[\"'“]?(" + HAN + r"{2,4})",
        width_bytes=64,
    ),
    _pattern("cn.title", "(" + HAN + "{1,3})" + _any(TITLES), width_bytes=24),
    _pattern("cn.address", _any(STREETS) + r"[0-9A-Za-z\-]{1,6}(?:号|弄|栋|幢|单元|室)", width_bytes=32),
)
