"""The wide net: where a word that names a secret stands beside a value. It misses little and is wrong mostly."""

from __future__ import annotations

from mohist.guard.detector import Pattern

NET_VERSION = "2"

_WORDS = "(?:pass|pwd|psw|secret|token|ticket|key|auth|cred|api|session|cookie|sid|otp|seed|signature)"
_QUOTE = r"""[\\]{0,3}(?:["'`]|&quot;|&#[0-9]{2};)"""
# What may stand between a word and its operator: the rest of the key, further words, closing quotes and brackets. No counts: the
# width bounds it as well, and RE2 has a fifth of the states.
_REST = r"""[\w\-.$@]*(?: [\w\-.]+){0,2}(?:[\\"'`\])}*?!]{0,4}|&quot;|&#[0-9]{2};)[ \t]*"""
_OPERATOR = rf"""(?:[+?|]?[:=]|[(,\[{{][ \t\r\n]*[a-zA-Z@$.(]*{_QUOTE}|[\\]{{0,3}}["'`]|>[^\s<>]|\|[ \t]*[^\s|])"""

PATTERNS = (
    Pattern("assign", _WORDS + _REST + _OPERATOR, ignore_case=True, width_bytes=192, apart=True),
    Pattern("short", rf"""(?:\b|_)pw[0-9_]{{0,2}}["'`\]]{{0,3}}[ \t]{{0,8}}(?:[+?|]?[:=]|[(,][ \t]{{0,4}}{_QUOTE})""", ignore_case=True, width_bytes=48),
    Pattern("scheme", r"\b(?:basic|bearer)[ \t]{1,4}[A-Za-z0-9+/=._~\-]{6}", ignore_case=True, width_bytes=32),
    Pattern("sql", r"""identified[ \t]{1,4}(?:with[ \t]{1,4}\w{1,40}[ \t]{1,4})?by[ \t]{1,4}(?:password[ \t]{1,4})?[\\]{0,2}["'`]""", ignore_case=True, width_bytes=128),
    Pattern("upper", r"(?:PASSWORD|PASSWD|PASSPHRASE|PWD|SECRET|TOKEN|KEY|PASS)[A-Z0-9_]{0,16}[ \t]{1,4}[^\s=:|,;.()<>]{3}", width_bytes=64),
    Pattern("space", r"(?:^|\n)[ \t#\-*]{0,16}(?:\w{0,24}[_\-.])?(?:require)?(?:pass|passwd|password|secret|token|masterauth)(?:[_\-.]\w{0,16})?[ \t]{1,8}[^\s=:|,;()<>]{3}", ignore_case=True, width_bytes=128),
    Pattern("flag", r"""--?[\w\-]{0,24}(?:pass|pwd|secret|token|key|auth|cred)[\w\-]{0,16}[ \t]{1,4}["']?[^\s\-"']""", ignore_case=True, width_bytes=96),
    Pattern("option", r"""\b(?:mysql\w{0,8}|mariadb|sshpass|redis-cli|psql|mongo\w{0,8}|login|htpasswd|curl|http|https|wget|sqlcmd|ldap\w{2,8}|smbclient|plink)\b[^\n]{0,160}?[ \t]-{1,2}(?:p|a|u|w|b|user)[ \t=]?["']?[^\s"'\-]""", ignore_case=True, width_bytes=256),
    Pattern("han", r"""(?:密码|密碼|口令|密钥|秘钥|密鑰|令牌|授权码|私钥|凭证|凭据)["'`)]{0,3}[ \t]{0,4}(?:[:=]|：|＝|是|为)[ \t]{0,4}[^\s]""", width_bytes=64),
    Pattern("prose", r"""\b(?:pass(?:word|wd|code|phrase)?|pwd|secret|token|(?:api|access|secret|private) key)[ \t]{1,2}(?:for [\w.@\-]{1,32} |of [\w.@\-]{1,32} )?(?:is|was|will be|to)[ \t:]{1,3}["'`*]{0,2}[^\s"'`*]{3}""", ignore_case=True, width_bytes=96, anchor=r"(?:pass|word|wd|code|phrase|pwd|secret|token| key)[ \t]{1,2}(?:for [\w.@\-]{1,32} |of [\w.@\-]{1,32} )?(?:is|was|will be|to)[ \t:]"),
    Pattern("call", r"""(?:log_?in|sign_?in|connect|authenticate|authorize|credentials?|session|user)\w{0,12}\([^()\n"']{0,40}["'][^"'\n]{1,60}["'][ ]?,[ ]?["'][^"']""", ignore_case=True, width_bytes=160),
)  # fmt: skip
