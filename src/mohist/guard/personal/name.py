"""Names and addresses in Chinese by dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mohist.guard.detector import Match
from mohist.guard.personal.judge import Judge, Judged

# The hundred most frequent surnames (Ministry of Public Security, report on names of 2020), and those of two characters.
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆"
    "范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝"
)
_LONG_SURNAMES = (
    "欧阳",
    "上官",
    "司马",
    "诸葛",
    "皇甫",
    "东方",
    "尉迟",
    "公孙",
    "慕容",
    "令狐",
    "司徒",
    "夏侯",
    "端木",
    "独孤",
    "南宫",
)
# Words that begin like a name and aren't one.
_NO_NAMES = re.compile(
    r"不能|不得|必须|为空|字段|信息|列表|长度|格式|错误|参数|类型|输入|方法|应该|可以|如果|所有|当前|任何|任意|时间|文件|成功|关系|单位|高级|安全|方式|简称|全称|明细|项目|管理|连接|包含|路径"
)

_BEFORE_NAMES = frozenset("找问请让给和与跟是叫为由向对致告见约的")
_REGION = re.compile(
    r"(?:[一-鿿]{2,8}(?:省|自治区|特别行政区))?[一-鿿]{1,8}?(?:市|自治州|地区|盟)[一-鿿]{1,8}?(?:区|县|旗|镇|乡|街道|路|街|道)"
)
_DISTRICT = re.compile(r"[一-鿿]{2,8}(?:省|自治区|市|区|县|旗)[一-鿿]{1,12}(?:区|县|镇|乡|街道|路|街|道|巷|村)")
ADDRESS_CHARS = 48
"""How far before a house number an address may begin."""


def person(text: str, match: Match) -> Judged | None:
    """A surname and one or two more characters, after a word such as 姓名."""
    start, end = match.value_start, match.value_end
    value = text[start:end]
    surname = 2 if value.startswith(_LONG_SURNAMES) else 1 if value[:1] in _SURNAMES else 0
    if not surname or _NO_NAMES.search(value):
        return None
    separated = bool(re.search(r"[:：=\"'“ 是为]$", text[max(match.start, 0) : start]))
    if not separated:
        return None
    following = text[end : end + 1]
    if len(value) > surname + 2:
        end = start + surname + 2
    elif "一" <= following <= "鿿" and len(value) > surname + 1:
        end = start + surname + 1
    return Judged(start, end, 0.6, "personal.name") if end - start > surname else None


def titled(text: str, match: Match) -> Judged | None:
    """A surname, perhaps a given name, before 先生, 女士 and the like."""
    value = text[match.value_start : match.value_end]
    for at in range(len(value)):
        rest = value[at:]
        surname = 2 if rest.startswith(_LONG_SURNAMES) else 1 if rest[:1] in _SURNAMES else 0
        before = text[match.value_start + at - 1 : match.value_start + at] if match.value_start + at else ""
        if surname and len(rest) <= surname + 2 and not _NO_NAMES.search(rest):
            if "一" <= before <= "鿿" and before not in _BEFORE_NAMES:  # 网络推广总监: the end of another word
                return None
            return Judged(match.value_start + at, match.value_end, 0.5, "personal.name")
    return None


def address(text: str, match: Match) -> Judged | None:
    """A chain 省, 市, 区, 路, 号 that ends in the house number that matched."""
    first = max(match.start - ADDRESS_CHARS, 0)
    head = text[first : match.start + 1]
    found = _REGION.search(head) or _DISTRICT.search(head)
    if found is None or re.search(r"[\n。；;，,]", head[found.start() :]):
        return None
    return Judged(first + found.start(), match.end, 0.7 if _REGION.search(head) else 0.55, "personal.address")


def judges() -> Mapping[str, Judge]:
    """By pattern."""
    return {"cn.name": person, "cn.title": titled, "cn.address": address}
