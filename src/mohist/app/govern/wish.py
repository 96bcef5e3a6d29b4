"""What a governed client may reach: the gateway under a neutral name, what its user allowed, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from anyio.abc import ByteStream

from mohist.app.errors import ConfigError
from mohist.app.host import host_rule
from mohist.sandbox import RefusedError
from mohist.sandbox.fence import Asked, Decision, Refuse, Rules, Serve

HOST: Final = "gateway.internal"
"""Says nothing of the company, its machines or the time zone: clients are known to look at the name. `.internal` is never
delegated (ICANN resolution 2024.07.29.06), so it can mean nobody else."""
PORT: Final = 80
URL: Final = f"http://{HOST}"

Handler = Callable[[ByteStream, Asked], Awaitable[None]]


def decide(allow: Sequence[str], allow_private: Sequence[str], gateway: Handler) -> Callable[[Asked], Decision]:
    """The fence's judge for one run.

    Args:
        allow: `HOST`, `*.HOST` or either with `:PORT`; without a port 80 and 443.
        allow_private: the same, which may lie at private addresses.
        gateway: answers the client's model calls.

    Raises:
        ConfigError: one of them names no host.
    """
    rules = [host_rule(word, private=False) for word in allow] + [
        host_rule(word, private=True) for word in allow_private
    ]
    if any(rule.host in (HOST, f"*.{HOST}") for rule in rules):
        raise ConfigError(f"{HOST!r} is the gateway itself.", "It is reached without being allowed.")
    try:
        others = Rules(rules)
    except RefusedError as error:
        raise ConfigError(f"--allow: {error.what}", error.mend) from error

    def judge(asked: Asked) -> Decision:
        if asked.host != HOST:
            return others(asked)
        if asked.port in (0, PORT):
            return Serve(gateway)
        return Refuse("port", f"The gateway answers on port {PORT} only.")

    return judge
