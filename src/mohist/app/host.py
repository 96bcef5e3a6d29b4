"""Hosts as a person names them: `HOST`, `*.HOST`, either with `:PORT`."""

from __future__ import annotations

from typing import Final

from mohist.app.errors import ConfigError
from mohist.sandbox.fence import Rule

WEB: Final = (80, 443)
"""Ports of a host that is named without one."""


def host_rule(word: str, *, private: bool) -> Rule:
    """The fence's rule for one host, or for all below one.

    Args:
        word: as it was typed.
        private: whether it may lie at a private or reserved address.

    Raises:
        ConfigError: what stands behind the colon is no port.
    """
    host, colon, port = word.rpartition(":")
    if not colon or ":" in host:  # none, or an IPv6 address
        return Rule(word, WEB, private=private)
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
        raise ConfigError(f"--allow {word!r}: {port!r} is no port.", "Such as pypi.org or mirror.example.com:8443.")
    return Rule(host, (int(port),), private=private)
