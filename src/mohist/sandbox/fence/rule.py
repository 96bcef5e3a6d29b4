"""An allow-list for a fence. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mohist.sandbox.errors import FencedError, RefusedError
from mohist.sandbox.fence.address import address_of, parse_host
from mohist.sandbox.fence.credential import Credential
from mohist.sandbox.fence.wish import Asked, Decision, Dial, Refuse

_HTTPS = 443


@dataclass(frozen=True, slots=True)
class Rule:
    """One host, or one family of hosts, that may be reached."""

    host: str
    """`host`, `*.host` (what lies below it, not itself), or an address."""
    ports: tuple[int, ...] = (_HTTPS,)
    private: bool = False
    """Whether it may lie at a private or reserved address; a metadata service's only if `host` is that address."""
    credentials: tuple[Credential, ...] = ()
    inspect: bool = False
    """See `Dial.inspect`."""


class Rules:
    """A fence's `decide` by rules; what none names is refused.

    Raises RefusedError for a rule that names no host.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._exact: dict[str, list[Rule]] = {}
        self._below: dict[str, list[Rule]] = {}
        for rule in rules:
            family = rule.host.startswith("*.")
            try:
                host = parse_host(rule.host.removeprefix("*."))
            except FencedError as error:
                raise RefusedError(f"The rule for {rule.host!r} names no host.", "Write `host` or `*.host`.") from error
            if family and address_of(host) is not None:
                raise RefusedError(f"The rule for {rule.host!r} names no host.", "Write an address without `*.`.")
            (self._below if family else self._exact).setdefault(host, []).append(replace(rule, host=host))

    def __call__(self, asked: Asked) -> Decision:
        """The first rule that names the host and its port; a host's own rules come before its family's."""
        rules = self._for(asked.host)
        if not rules:
            if asked.carrier == "other":
                return Refuse("port", f"Nothing goes out by port {asked.port}.")
            return Refuse("not-listed", f"{asked.host} is not among the hosts that may be reached.")
        if asked.carrier == "name":
            return Dial(private=any(rule.private for rule in rules))
        for rule in rules:
            if asked.port in rule.ports:
                return Dial(private=rule.private, credentials=rule.credentials, inspect=rule.inspect)
        return Refuse("port", f"{asked.host} may not be reached on port {asked.port}.")

    def _for(self, host: str) -> list[Rule]:
        found = list(self._exact.get(host, ()))
        labels = host.split(".")
        if address_of(host) is None:
            for start in range(1, len(labels)):
                found += self._below.get(".".join(labels[start:]), ())
        return found
