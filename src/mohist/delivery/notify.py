"""Tells webhooks what happens: notes of the book, each sent once to each hook that wants its kind.

    [[notify]]                          # $MOHIST_HOME/deliver.toml or /etc/mohist/deliver.toml, never a project's file
    name = "team"
    format = "slack"                    # json, slack, feishu, dingtalk, wecom
    url_env = "TEAM_HOOK_URL"           # or url_file: the address is a secret for most of these
    secret_env = "TEAM_HOOK_SECRET"     # or secret_file; signs json, feishu and dingtalk
    kinds = ["gate", "failed"]          # left out: the ones below

This is what is sent; `lane` sends it. Formats as of November 2026:
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
https://open.dingtalk.com/document/robots/custom-robot-access and …/customize-robot-security-settings
https://developer.work.weixin.qq.com/document/path/91770
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mohist.delivery.errors import RuleError
from mohist.delivery.state import Delivery, Note

USUAL: Final = ("gate", "done", "failed", "cancelled", "alarm", "rollback", "deploy", "merged", "overdue")
"""Kinds that are told where a hook names none: what somebody must do, and how it ended."""
LONGEST_WAIT_S: Final = 3_600.0
"""Whatever a receiver asks for."""
PAUSE_S: Final = 60.0
"""After a chat said that it is told too often: DingTalk and WeCom count 20 messages a minute, Feishu 100."""
_AT_FAULT: Final = (400, 413, 422)
_TOO_OFTEN: Final = (11232, 130101, 45009)
"""Feishu, DingTalk, WeCom."""
_TEXT_CHARS: Final = 1_500
_WECOM_BYTES: Final = 2_048
"""Of a text's content, in UTF-8."""
Format = Literal["json", "slack", "feishu", "dingtalk", "wecom"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    format: Format = "json"
    url_env: str = ""
    url_file: str = ""
    secret_env: str = ""
    secret_file: str = ""
    kinds: tuple[str, ...] = Field(default=USUAL, strict=False)

    @model_validator(mode="after")
    def _one_place(self) -> _Entry:
        if bool(self.url_env) == bool(self.url_file):
            raise ValueError("name either url_env or url_file")
        if self.secret_env and self.secret_file:
            raise ValueError("name either secret_env or secret_file")
        return self


class _File(BaseModel):
    notify: tuple[_Entry, ...] = Field(default=(), strict=False)


@dataclass(frozen=True, slots=True)
class Hook:
    """One receiver, ready."""

    name: str
    format: Format
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    kinds: tuple[str, ...] = USUAL


@dataclass(frozen=True, slots=True)
class Letter:
    """One request."""

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str]


def load_hooks(text: str, origin: str, env: Mapping[str, str]) -> tuple[Hook, ...]:
    """The hooks of a file; empty text has none.

    Raises:
        RuleError: it is not as it must be, or an address or secret that it names is not there. Never says their values.
    """
    try:
        document = tomllib.loads(text)
        read = _File.model_validate({"notify": document.get("notify", [])})
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"{origin}: not valid TOML: {error}.", "Correct the file.") from None
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors(include_input=False)[:5]
        )
        raise RuleError(f"{origin}: {told}.", "Correct the file.") from None
    hooks = []
    for entry in read.notify:
        url = _value(entry.name, entry.url_env, entry.url_file, origin, env)
        if urlsplit(url).scheme not in ("http", "https"):
            raise RuleError(f"{origin}: the address of hook {entry.name!r} is no URL.", "It begins with https://.")
        named = entry.secret_env or entry.secret_file
        secret = _value(entry.name, entry.secret_env, entry.secret_file, origin, env) if named else ""
        hooks.append(Hook(entry.name, entry.format, url, secret, entry.kinds))
    return tuple(hooks)


def letter(hook: Hook, delivery: Delivery, note: Note, now_ms: int) -> Letter:
    """What is sent for a note: pure."""
    key = f"{delivery.delivery_id}/{note.number}"
    headers = {"Content-Type": "application/json", "X-Mohist-Event": key}
    text = told(delivery, note)
    url, seconds = hook.url, str(now_ms // 1000)
    body: dict[str, Any]
    match hook.format:
        case "slack":
            body = {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
        case "feishu":
            body = {"msg_type": "text", "content": {"text": _unmentioned(text)}}
            if hook.secret:
                signed = hmac.digest(f"{seconds}\n{hook.secret}".encode(), b"", "sha256")
                body |= {"timestamp": seconds, "sign": base64.b64encode(signed).decode()}
        case "dingtalk":
            body = {"msgtype": "text", "text": {"content": text}, "at": {"isAtAll": False}}
            if hook.secret:
                signed = hmac.digest(hook.secret.encode(), f"{now_ms}\n{hook.secret}".encode(), "sha256")
                sign = quote(base64.b64encode(signed).decode(), safe="")
                url += f"{'&' if urlsplit(url).query else '?'}timestamp={now_ms}&sign={sign}"
        case "wecom":
            body = {"msgtype": "text", "text": {"content": _cut(_unmentioned(text), _WECOM_BYTES)}}
        case "json":
            body = {
                "id": key,
                "delivery": delivery.delivery_id,
                "status": delivery.status,
                "stage": delivery.stage,
                "requested_by": delivery.requested_by,
                "kind": note.kind,
                "text": note.text,
                "facts": note.facts,
                "at_ms": note.at_ms,
            }
    data = json.dumps(body, ensure_ascii=False).encode()
    if hook.format == "json" and hook.secret:
        signature = hmac.new(hook.secret.encode(), f"{seconds}.".encode() + data, hashlib.sha256).hexdigest()
        headers["X-Mohist-Signature"] = f"t={seconds},v1={signature}"
    return Letter(url, data, headers)


def told(delivery: Delivery, note: Note) -> str:
    """A note in words for a chat."""
    about = " ".join(delivery.requirement.split())[:120]
    text = f"[{delivery.delivery_id}] {' '.join(note.text.split())}\n{about}"
    if note.kind == "gate":
        text += f"\nmohist deliver show {delivery.delivery_id}"
    return text[:_TEXT_CHARS]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receiver said."""

    kind: Literal["sent", "away", "refused"]
    """Refused: this note, whatever is sent next."""
    after_s: float = 0.0
    """How long it wants to be left alone."""


def judged(hook: Hook, status: int, body: bytes, retry_after: str = "") -> Verdict:
    """What an answer means; some say no with a 200.

    Args:
        hook: who was told.
        status: of the answer.
        body: of the answer.
        retry_after: the header of that name; seconds are understood.
    """
    if not 200 <= status < 300:
        wait_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        return Verdict("refused" if status in _AT_FAULT else "away", min(wait_s, LONGEST_WAIT_S))
    if hook.format not in ("feishu", "dingtalk", "wecom"):
        return Verdict("sent")
    try:
        said = json.loads(body)
    except ValueError:
        return Verdict("refused")
    if not isinstance(said, dict):
        return Verdict("refused")
    code = said.get("code", said.get("errcode", said.get("StatusCode", 0)))
    if code == 0:
        return Verdict("sent")
    return Verdict("away", PAUSE_S) if code in _TOO_OFTEN else Verdict("refused")


def _value(hook: str, variable: str, file: str, origin: str, env: Mapping[str, str]) -> str:
    if variable:
        value = env.get(variable, "")
        where = f"the variable {variable!r}"
    else:
        path = Path(file.replace("~", env.get("HOME", "~"), 1) if file.startswith("~/") else file)
        where = f"the file {file!r}"
        try:
            value = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            value = ""
    if not value.strip():
        raise RuleError(f"{origin}: hook {hook!r} needs {where}, which is not there or empty.", "Set it.")
    return value.strip()


def _cut(text: str, most_bytes: int) -> str:
    """As much of it as may be, whole characters."""
    return text.encode()[:most_bytes].decode("utf-8", "ignore")


def _unmentioned(text: str) -> str:
    """Without the tags by which Feishu and WeCom call people, or everybody, in a room."""
    return text.replace("<", "＜").replace(">", "＞")
