"""Reaches what was allowed: resolved once, judged, and that very address is dialled."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.abc import SocketStream

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.address import IPAddress, address_of, kind_of
from mohist.sandbox.fence.wish import Asked, Dial

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""A name's addresses, best first. Raises OSError."""


async def system_resolve(name: str) -> list[str]:
    """As the host resolves names."""
    found = await anyio.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


async def dial(asked: Asked, decision: Dial, resolve: Resolve, limit_s: float) -> tuple[SocketStream, str]:
    """A connection, and the address it goes to. Raises FencedError."""
    host, port = decision.host or asked.host, decision.port or asked.port
    try:
        with anyio.fail_after(limit_s):
            addresses = await _addresses(host, resolve)
            for address in addresses:
                _check(host, address, decision)
            return await _connect(addresses, port)
    except TimeoutError:
        raise FencedError("timeout", f"{host} did not answer in {limit_s:g} s.", failed=True) from None


async def _addresses(host: str, resolve: Resolve) -> list[IPAddress]:
    literal = address_of(host)
    if literal is not None:
        return [literal]
    try:
        found = [address_of(text) for text in await resolve(host)]
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FencedError("unknown-name", f"{host} has no address: {said}.", failed=True) from None
    addresses = [each for each in found if each is not None]
    if not addresses:
        raise FencedError("unknown-name", f"{host} has no address.", failed=True)
    return addresses


def _check(host: str, address: IPAddress, decision: Dial) -> None:
    """One address that may not be reached is enough: a name that mixes them is not to be trusted with any."""
    kind = kind_of(address)
    if kind == "metadata" and not (decision.private and host == str(address)):
        raise FencedError("metadata-address", f"{host} leads to {address}, which hands out a machine's credentials.")
    if kind == "private" and not decision.private:
        raise FencedError("private-address", f"{host} leads to {address}, a private or reserved address.")


async def _connect(addresses: Sequence[IPAddress], port: int) -> tuple[SocketStream, str]:
    said = ""
    for address in addresses:
        try:
            return await anyio.connect_tcp(str(address), port), str(address)
        except OSError as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            said = f"{address}: {cause.strerror or cause}"
    raise FencedError("dial-failed", f"No connection to {said}.", failed=True)
