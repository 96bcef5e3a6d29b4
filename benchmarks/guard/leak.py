#!/usr/bin/env python3
"""Forty made-up secrets and twenty-five ways in which they leave a company: what the guard is tried on as a whole.

    python benchmarks/guard/leak.py [--write]

Prints what was found; with --write it puts the table of what gets through into docs/threats/guard.md, where a test compares
it. Everything is made at run time from a seed; none of it was ever valid.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import html
import json
import random
import sys
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from mohist.app.detector import detectors
from mohist.app.screening import Screening
from mohist.guard import Block, Scanner, keyed
from mohist.guard.matcher import build_matcher
from mohist.guard.secret import filled

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/threats/guard.md"
BEGIN, END = "<!-- leaks: made by benchmarks/guard/leak.py --write -->", "<!-- end of leaks -->"
CONFIDENCE = 0.5
"""From here on the default rules mask or block; below they take note."""
NEARLY_ALL = 30

SECRETS: Mapping[str, str] = {
    "GitHub token": "GITHUB_TOKEN=ghp_{crc62:30}",
    "GitHub fine-grained token": "GH_TOKEN=github_pat_{alnum:22}_{alnum:59}",
    "GitLab token": "GITLAB_TOKEN=glpat-{alnum:20}",
    "AWS key id": "AWS_ACCESS_KEY_ID=AKIA{b32:16}",
    "AWS secret key": "AWS_SECRET_ACCESS_KEY={b64:40}",
    "Google API key": "GOOGLE_API_KEY=AIza{b64url:35}",
    "Azure storage key": "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={b64:86}==;EndpointSuffix=core.windows.net",
    "Alibaba Cloud key id": "ALIYUN_ACCESS_KEY_ID=LTAI5t{alnum:18}",
    "Alibaba Cloud secret": "ALIYUN_ACCESS_KEY_SECRET={alnum:30}",
    "Tencent Cloud secret": "TENCENTCLOUD_SECRET_KEY={alnum:32}",
    "Huawei Cloud secret": "HUAWEICLOUD_SDK_SK={alnum:40}",
    "OpenAI key": "OPENAI_API_KEY=sk-proj-{alnum:74}T3BlbkFJ{alnum:74}",
    "Anthropic key": "ANTHROPIC_API_KEY=sk-ant-api03-{b64url:93}AA",
    "DashScope key": "DASHSCOPE_API_KEY=sk-{hex:32}",
    "Hugging Face token": "HF_TOKEN=hf_{lower:34}",
    "Slack bot token": "SLACK_TOKEN=xoxb-{digits:12}-{digits:13}-{alnum:24}",
    "Slack webhook": "HOOK=https://hooks.slack.com/services/T{upper:8}/B{upper:10}/{alnum:24}",
    "Feishu webhook": "HOOK=https://open.feishu.cn/open-apis/bot/v2/hook/{uuid}",
    "DingTalk webhook": "HOOK=https://oapi.dingtalk.com/robot/send?access_token={hex:64}",
    "WeCom webhook": "HOOK=https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={uuid}",
    "Telegram bot token": "TELEGRAM_BOT_TOKEN={digits:10}:AA{b64url:33}",
    "Stripe key": "STRIPE_KEY=sk_live_{alnum:24}",
    "SendGrid key": "SENDGRID_API_KEY=SG.{b64url:22}.{b64url:43}",
    "Twilio key": "TWILIO_API_KEY=SK{hex:32}",
    "npm token": "NPM_TOKEN=npm_{crc62:30}",
    "PyPI token": "TWINE_PASSWORD=pypi-AgEIcHlwaS5vcmcCJ{b64url:150}",
    "Docker token": "DOCKER_TOKEN=dckr_pat_{b64url:27}",
    "Grafana token": "GRAFANA_TOKEN=glsa_{alnum:32}_{hex:8}",
    "JSON Web Token": "TOKEN=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIx{b64url:40}.{b64url:43}",
    "private key in PEM": "-----BEGIN PRIVATE KEY-----\n{der:120}\n{b64:64}\n-----END PRIVATE KEY-----",
    "private key of OpenSSH": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA{b64:46}\n{b64:70}\n-----END OPENSSH PRIVATE KEY-----",
    "private key without PEM": "alipay_key=MIIEvgIBADANBgkqhkiG9w0BAQEFAASC{b64:600}",
    "NATS seed": "NATS_SEED={nkey}",
    "password in a PostgreSQL address": "DATABASE_URL=postgres://app:{alnum:16}@db.corp.internal:5432/app",
    "password in a ClickHouse address": "CLICKHOUSE=clickhouse://app:{alnum:16}@ch.corp.internal:9000/app",
    "password in a connection string": "Server=db1.corp;Database=app;User Id=sa;Password={alnum:14};Encrypt=true",
    "basic authorization": "Authorization: Basic {basic}",
    "bearer authorization": "Authorization: Bearer {alnum:40}",
    "password in an assignment": 'db_password = "{alnum:16}"',
    "key in an assignment": 'api_secret_key = "{alnum:40}"',
}
"""Lines with a template for the secret; the last two are told by their names alone."""

Disguise = Callable[[str, random.Random], str]
_FULL_WIDTH = {point: point + 0xFEE0 for point in range(0x21, 0x7F)}
_CYRILLIC = str.maketrans("aceopxyABCEHKMOPTXi", "асеорхуАВСЕНКМОРТХі")
_ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)


def _parts(line: str, source: random.Random, size: int = 12) -> list[str]:
    parts, at = [], 0
    while at < len(line):
        step = source.randint(size // 2, size)
        parts.append(line[at : at + step])
        at += step
    return parts


def _wrapped(line: str, size: int) -> str:
    return "\n".join(line[at : at + size] for at in range(0, len(line), size))


def _base64(line: str) -> str:
    return base64.b64encode(line.encode()).decode()


def _notebook(line: str) -> str:
    cell = {"cell_type": "code", "metadata": {}, "source": [part + "\n" for part in line.split("\n")], "outputs": []}
    return json.dumps({"cells": [cell], "nbformat": 4}, indent=1)


DISGUISES: Mapping[str, Disguise] = {
    "none": lambda line, _: line,
    "string in JSON": lambda line, _: json.dumps({"path": ".env", "content": f"A=1\n{line}\n"}),
    "JSON in a string in JSON": lambda line, _: json.dumps({"body": json.dumps({"text": line})}),
    "`.env` with quotes and export": lambda line, _: "export " + line.replace("=", "='", 1) + "'",
    "unified diff": lambda line, _: "@@ -1 +1,2 @@\n" + "\n".join("+" + part for part in line.split("\n")),
    "notebook": lambda line, _: _notebook(line),
    "PEM and the like on one line": lambda line, _: line.replace("\n", ""),
    r"line ends as \n": lambda line, _: '"' + line.replace("\n", "\\n") + '"',
    "URL encoding of reserved characters": lambda line, _: f"GET /?q={quote(line, safe='')} HTTP/1.1",
    "URL encoding of every character": lambda line, _: "".join(f"%{byte:02X}" for byte in line.encode()),
    "HTML entities": lambda line, _: "<td>" + html.escape(line).replace("=", "&#61;").replace("-", "&#x2d;") + "</td>",
    r"escapes \xNN": lambda line, _: 's = b"' + "".join(f"\\x{byte:02x}" for byte in line.encode()) + '"',
    r"escapes \uNNNN": lambda line, _: 's = "' + "".join(f"\\u{ord(char):04x}" for char in line) + '"',
    "base64": lambda line, _: f"data: {_base64(line)}",
    "base64 with line breaks": lambda line, _: "data:\n" + _wrapped(_base64(line), 64),
    "base64 twice": lambda line, _: f"data: {_base64(_base64(line))}",
    "hex": lambda line, _: f"blob {line.encode().hex()}",
    'pieces joined by "+"': lambda line, source: "s = " + " + ".join(json.dumps(part) for part in _parts(line, source)),
    "pieces on lines in brackets": lambda line, source: (
        "s = (\n" + "\n".join("    " + json.dumps(part) for part in _parts(line, source)) + "\n)"
    ),
    "UTF-16 read as bytes": lambda line, _: line.encode("utf-16-le").decode("latin-1"),
    "zero-width characters within": lambda line, _: (
        "\u200b".join(_wrapped(line, 5).split("\n")) if "\n" not in line else line.replace("E", "E\u200b")
    ),
    "full-width characters": lambda line, _: line.translate(_FULL_WIDTH),
    "Cyrillic look-alikes": lambda line, _: line.translate(_CYRILLIC),
    "gzip in base64": lambda line, _: base64.b64encode(gzip.compress(line.encode(), mtime=0)).decode(),
    "ROT13": lambda line, _: line.translate(_ROT13),
}
"""How a line is written so that a reader, or a model, still gets the secret out of it."""


BEYOND: Mapping[str, Disguise] = {
    "backwards": lambda line, _: line[::-1],
    "Ascii85": lambda line, _: base64.a85encode(line.encode()).decode(),
    "every character doubled": lambda line, _: "".join(char * 2 for char in line),
    "a dash between characters": lambda line, _: "-".join(line),
    "two halves, the second first": lambda line, _: f"tail: {line[len(line) // 2 :]}\nhead: {line[: len(line) // 2]}",
    "shifted by one in the alphabet": lambda line, _: "".join(
        chr(ord(char) + 1) if char.isalnum() else char for char in line
    ),
    "XOR with one byte, in base64": lambda line, _: base64.b64encode(
        bytes(byte ^ 0x5A for byte in line.encode())
    ).decode(),
    "spelled in words": lambda line, _: " ".join(unicodedata.name(char, "line feed").lower() for char in line),
}
"""What somebody who means to get past does in a minute; there is no end to these."""


def cases(disguises: Mapping[str, Disguise] = DISGUISES) -> list[tuple[str, str, str]]:
    """Secret, disguise, text: each of the one in each of the other."""
    return [
        (
            secret,
            disguise,
            f"Please look at this:\n{write(filled(line), random.Random(f'{secret} {disguise}'))}\nThanks.\n",
        )
        for secret, line in SECRETS.items()
        for disguise, write in disguises.items()
    ]


def harmless() -> list[str]:
    """The same disguises around a line that holds no secret."""
    line = "LOG_LEVEL=information about the build of the project"
    return [f"Please look at this:\n{write(line, random.Random(1))}\nThanks.\n" for write in DISGUISES.values()]


def engine(cache: Path | None = None) -> Scanner:
    """The guard as it comes, without anything that a company adds."""
    with tempfile.TemporaryDirectory() as home:
        found = detectors(Screening(), Path(home), b"key of a bench, no secret" * 2)
    return Scanner(found, build_matcher(found, cache=cache), keyed(b"bench"))


def holds(scanner: Scanner, text: str) -> bool:
    """Whether anything secret, or unreadable, is found."""
    (found,) = scanner.scan([Block(text, "tool_result")])
    return any(
        finding.data_class.startswith(("secret", "unread")) and finding.confidence >= CONFIDENCE
        for finding in found.findings
    )


def missed(scanner: Scanner, disguises: Mapping[str, Disguise] = DISGUISES) -> Mapping[str, Sequence[str]]:
    """By disguise: the secrets that get through."""
    through: dict[str, list[str]] = defaultdict(list)
    for secret, disguise, text in cases(disguises):
        if not holds(scanner, text):
            through[disguise].append(secret)
    return through


def table(scanner: Scanner) -> str:
    """For the document: every disguise, how many are found, and which get through."""
    through = missed(scanner)
    total = len(SECRETS) * len(DISGUISES)
    return "\n".join(
        [
            f"{total - sum(map(len, through.values()))} of {total} are found.",
            "",
            *_rows(DISGUISES, through),
            "",
            "Somebody who means to get past needs a minute more. Of these, counted apart, any number can be made up:",
            "",
            *_rows(BEYOND, missed(scanner, BEYOND)),
        ]
    )


def _rows(disguises: Mapping[str, Disguise], through: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield from ("| disguise | found | gets through |", "|---|---|---|")
    for disguise in disguises:
        names = through.get(disguise, ())
        kept = len(SECRETS) - len(names)
        said = ", ".join(names)
        if len(names) >= NEARLY_ALL:
            said = "all but " + ", ".join(name for name in SECRETS if name not in names) if kept else "all"
        yield f"| {disguise} | {kept} of {len(SECRETS)} | {said or '-'} |"


def written(document: str, text: str) -> str:
    """The document with this table in its place."""
    head, _, rest = document.partition(BEGIN)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/threats/guard.md")
    parser.add_argument("--cache", type=Path, help="folder for compiled patterns")
    arguments = parser.parse_args()
    scanner = engine(arguments.cache)
    if false := [text for text in harmless() if holds(scanner, text)]:
        sys.stdout.write(f"{len(false)} harmless texts are taken for secrets\n")
    text = table(scanner)
    sys.stdout.write(text + "\n")
    if arguments.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
