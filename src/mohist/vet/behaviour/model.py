"""The scripted model at its door: serves each connection in process, keeps what came, answers by the script."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from anyio.abc import ByteStream

from mohist.sandbox.fence import Asked
from mohist.vet.behaviour.intake import Arrived, Intake, IntakeError
from mohist.vet.behaviour.script import Dialect, Script, answer
from mohist.vet.behaviour.wire import counted, encode, listing
from mohist.vet.difference.sent import Sent

_MODEL = "vet-model"


class Model:
    """One run's model, and a sink for everything else the subject says to anybody.

    Args:
        script: what it asks for.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._started_s = anyio.current_time()
        self._rested_s = self._started_s
        self.sent: list[Sent] = []
        """Requests to the model, in the order in which their heads were read."""
        self.strayed: list[Sent] = []
        """Requests to others."""
        self.garbled: list[str] = []
        """Connections that did not speak HTTP/1: whom they asked for, and what was wrong."""

    @property
    def now_ms(self) -> float:
        """Since the run began."""
        return (anyio.current_time() - self._started_s) * 1000

    def begin(self) -> None:
        """The subject is started now."""
        self._started_s = self._rested_s = anyio.current_time()

    async def serve(self, stream: ByteStream, asked: Asked) -> None:
        """Answers as the model; fits `Serve`."""
        await self._talk(stream, asked, self.sent, self._answer)

    async def sink(self, stream: ByteStream, asked: Asked) -> None:
        """Takes what others are told, and knows nothing; fits `Serve`."""
        await self._talk(stream, asked, self.strayed, _unknown)

    async def _talk(self, stream: ByteStream, asked: Asked, kept: list[Sent], reply: Callable[[Sent], bytes]) -> None:
        intake = Intake(stream)
        try:
            while (arrived := await intake.next()) is not None:
                sent = self._keep(arrived, asked)
                kept.append(sent)
                await stream.send(reply(sent))
                self._rested_s = anyio.current_time()
                if sent.header("connection").lower() == "close" or sent.version == "HTTP/1.0":
                    return
        except IntakeError as error:
            self.garbled.append(f"{asked.host}:{asked.port}: {error}")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            return  # the subject went away

    def _keep(self, arrived: Arrived, asked: Asked) -> Sent:
        return Sent(
            at_ms=(arrived.at_s - self._started_s) * 1000,
            waited_ms=max(arrived.at_s - self._rested_s, 0.0) * 1000,
            host=asked.host,
            port=asked.port,
            method=arrived.method,
            target=arrived.target,
            version=arrived.version,
            headers=arrived.headers,
            body=arrived.body,
        )

    def _answer(self, sent: Sent) -> bytes:
        path = sent.path.rstrip("/")
        if sent.method in ("GET", "HEAD"):
            body = listing(_MODEL) if path.endswith("/models") else b"{}"
            return _response(sent, 200, "application/json", body)
        if path.endswith("/count_tokens"):
            return _response(sent, 200, "application/json", counted())
        dialect = dialect_of(path)
        said = answer(dialect, sent.content, self._script) if dialect else None
        if dialect is None or said is None:
            return _unknown(sent)
        kind = "text/event-stream" if said.stream else "application/json"
        return _response(sent, 200, kind, encode(dialect, said))


def dialect_of(path: str) -> Dialect | None:
    """By the end of the path, since a base URL may put anything in front."""
    ends: Sequence[tuple[str, Dialect]] = (
        ("/messages", "anthropic-messages"),
        ("/responses", "openai-responses"),
        ("/chat/completions", "openai-chat"),
    )
    return next((dialect for end, dialect in ends if path.rstrip("/").endswith(end)), None)


def _unknown(sent: Sent) -> bytes:
    return _response(sent, 404, "application/json", b'{"error":{"type":"not_found_error","message":"not served here"}}')


def _response(sent: Sent, status: int, kind: str, body: bytes) -> bytes:
    reason = {200: "OK", 404: "Not Found"}[status]
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nrequest-id: req_1\r\n\r\n"
    return head.encode("ascii") + (b"" if sent.method == "HEAD" else body)
