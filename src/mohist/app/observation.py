"""How a running gateway is watched: metrics for Prometheus, traces for a collector. Both stay within what was set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from mohist import __version__
from mohist.app.errors import ConfigError
from mohist.gateway.keeper import Keeper
from mohist.gateway.route import Router
from mohist.gateway.tally import Observer

if TYPE_CHECKING:
    from mohist.gateway.exposition import Exposition
    from mohist.gateway.metric import Whom
    from mohist.gateway.screen.book import Book

LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN_VARIABLE = "MOHIST_METRICS_TOKEN"  # noqa: S105 - the name of a variable
_MIN_TOKEN_CHARS = 16
_NO_OTEL = "Traces need OpenTelemetry's library: MOHIST_ENVIRONMENT=full ./mohist in a checkout, else pip install 'mohist[otel]'"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was asked for."""

    open_here: bool = False
    """The gateway's own listener is reached from this machine alone, and not through a proxy."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """A listener of its own; None: the gateway's."""
    whom: tuple[Whom, ...] = ()
    """Who called, as labels."""
    otlp_endpoint: str = ""


class Watch:
    """The watching parts of one gateway.

    Order of use: construct, `begin`, serve with `observers` and `exposition`, `end`.
    """

    def __init__(
        self,
        asked: Observation,
        env: Mapping[str, str],
        router: Router,
        keeper: Keeper,
        tell: Callable[[str], None],
        book: Book | None = None,
    ) -> None:
        """Starts nothing yet; `book` is the guard's, None where there is none.

        Raises:
            ConfigError: metrics would be open to others, or traces are asked for and can't be made.
        """
        from mohist.gateway.exposition import Exposition
        from mohist.gateway.metric import Metrics

        token = env.get(TOKEN_VARIABLE, "").strip()
        if token and len(token) < _MIN_TOKEN_CHARS:
            raise ConfigError(f"{TOKEN_VARIABLE} is shorter than {_MIN_TOKEN_CHARS} characters.", "Make a longer one.")
        apart = asked.metrics_port is not None
        if apart and asked.metrics_host not in LOOPBACK and not token:
            raise ConfigError(
                f"Anybody who reaches {asked.metrics_host!r} could read the metrics.",
                f"Set a token ({TOKEN_VARIABLE}), or leave them on 127.0.0.1.",
            )
        metrics = Metrics(router, lambda: keeper.backlog, lambda: keeper.trouble, asked.whom)
        if book is not None:
            from mohist.gateway.screen.metric import GuardMetrics

            metrics.registry.register(GuardMetrics(book))
        here = asked.metrics_host in LOOPBACK if apart else asked.open_here
        self._asked = asked
        self._tell = tell
        self._apart = Exposition(metrics.registry, token, here) if apart else None
        self.exposition: Exposition | None = None if apart else Exposition(metrics.registry, token, here)
        """For the gateway's own listener."""
        self.observers: list[Observer] = [metrics]
        self._tracing = _tracing(asked, env, tell)
        if self._tracing is not None:
            self.observers.append(self._tracing)

    def begin(self, group: TaskGroup) -> None:
        """Starts what runs beside the gateway."""
        if self._tracing is not None:
            self._tracing.start()
        if self._apart is not None:
            from mohist.gateway.annex import serve_metrics

            host, port = self._asked.metrics_host, self._asked.metrics_port or 0
            group.start_soon(serve_metrics, self._apart, host, port, lambda url: self._tell(f"metrics: {url}/metrics"))

    async def end(self) -> None:
        """Sends what waits, for a few seconds at most."""
        if self._tracing is not None:
            await anyio.to_thread.run_sync(self._tracing.stop)


if TYPE_CHECKING:
    from mohist.gateway.telemetry import Tracing


def _tracing(asked: Observation, env: Mapping[str, str], tell: Callable[[str], None]) -> Tracing | None:
    """None when nobody asked for traces."""
    named = any(env.get(name, "") for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
    off = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER", "") == "none"
    if not asked.otlp_endpoint and (off or not named):
        return None
    if asked.otlp_endpoint and not asked.otlp_endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"{asked.otlp_endpoint!r} is no address of a collector.", "Such as http://127.0.0.1:4318")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        if asked.otlp_endpoint:
            raise ConfigError(f"{_NO_OTEL}.")
        tell(f"no traces are sent. {_NO_OTEL}")  # a cluster may set these variables for everybody
        return None
    from mohist.gateway.telemetry import Tracing, otlp_exporter

    return Tracing(otlp_exporter(asked.otlp_endpoint), __version__)
