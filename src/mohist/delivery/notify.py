"""Tells webhooks what happens: notes of the book, each sent once to each hook that wants its kind.

    [[notify]]                          # $MOHIST_HOME/deliver.toml or /etc/mohist/deliver.toml, never a project's file
    name = "team"
    format = "slack"                    # json, slack, feishu, dingtalk, wecom
    url_env = "TEAM_HOOK_URL"           # or url_file: the address is a secret for most of these
    secret_env = "TEAM_HOOK_SECRET"     # or secret_file; signs json, feishu and dingtalk
    kinds = ["gate", "failed"]          # left out: the ones below

The notes are the outbox and the book's effects say what was sent, under `delivery/notify/HOOK/NUMBER`. A process that dies
between the answer and the record sends once more: receivers tell by the same id. Formats as of November 2026:
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
import logging
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlsplit

import anyio
import httpx2
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mohist.base import Clock
from mohist.delivery.book import Book
from mohist.delivery.errors import RuleError
from mohist.delivery.state import Delivery, Note

USUAL: Final = ("gate", "done", "failed", "cancelled", "alarm", "rollback", "deploy", "merged")
"""Kinds that are told where a hook names none: what somebody must do, and how it ended."""
WAITS_S: Final = (1.0, 4.0, 15.0, 60.0, 300.0)
"""Between tries; after the last one a note is given up, which is logged."""
TIMEOUT_S: Final = 10.0
_TEXT_CHARS: Final = 1_500
_LOG: Final = logging.getLogger(__name__)
Sleep = Callable[[float], Awaitable[None]]
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
            body = {"msgtype": "text", "text": {"content": text}}
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


def accepted(hook: Hook, status: int, body: bytes) -> bool:
    """Whether a receiver took it; some say no with a 200."""
    if not 200 <= status < 300:
        return False
    if hook.format not in ("feishu", "dingtalk", "wecom"):
        return True
    try:
        said = json.loads(body)
    except ValueError:
        return False
    if not isinstance(said, dict):
        return False
    return bool(said.get("code", said.get("errcode", said.get("StatusCode", 0))) == 0)


@dataclass(slots=True)
class Notifier:
    """Sends what is new, again and again; one a process.

    Args:
        book: notes are its outbox.
        clock: for signatures.
        hooks: receivers.
        since_ms: what was noted before is not told.
        sleep: waits between tries.
    """

    book: Book
    clock: Clock
    hooks: tuple[Hook, ...]
    since_ms: int
    sleep: Sleep = anyio.sleep
    settled: set[tuple[str, str, int]] = field(default_factory=set)
    """Sent, or given up, by this process: hook, delivery, number."""

    async def round(self, only: str = "") -> int:
        """Sends what is to be sent now, in order; how many notes went out.

        Args:
            only: the one delivery that is told of; empty: all.
        """
        if not self.hooks:
            return 0
        sent = 0
        news = await to_thread.run_sync(self.book.news, self.since_ms)
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
            for delivery_id, note in news:
                if only in ("", delivery_id):
                    for hook in self.hooks:
                        if note.kind in hook.kinds and (hook.name, delivery_id, note.number) not in self.settled:
                            sent += await self._tell(client, hook, delivery_id, note)
        return sent

    async def _tell(self, client: httpx2.AsyncClient, hook: Hook, delivery_id: str, note: Note) -> bool:
        key = f"{delivery_id}/notify/{hook.name}/{note.number}"
        mark = (hook.name, delivery_id, note.number)
        if await to_thread.run_sync(self.book.effect, key, "notify") is not None:
            self.settled.add(mark)
            return False
        delivery = await to_thread.run_sync(self.book.get, delivery_id)
        for wait_s in (*WAITS_S, 0.0):
            if await self._post(client, hook, letter(hook, delivery, note, self.clock.now_ms())):
                await to_thread.run_sync(self.book.done, key, {"at_ms": self.clock.now_ms()})
                self.settled.add(mark)
                return True
            if wait_s:
                await self.sleep(wait_s)
        # Told to whoever looks at the log; a receiver that is gone must not hold up the others for ever.
        _LOG.warning("Hook %r did not take note %d of %s.", hook.name, note.number, delivery_id)
        self.settled.add(mark)
        return False

    async def _post(self, client: httpx2.AsyncClient, hook: Hook, sent: Letter) -> bool:
        try:
            answer = await client.post(sent.url, content=sent.body, headers=dict(sent.headers))
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return False
        return accepted(hook, answer.status_code, answer.content)


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


def _unmentioned(text: str) -> str:
    """Without the tags by which Feishu calls everybody in a room."""
    return text.replace("<", "＜").replace(">", "＞")
