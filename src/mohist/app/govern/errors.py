"""What keeps a governed run from starting, and from being let on.

MohistError
└── BannedError    the register refuses the client
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class BannedError(MohistError):
    """The register refuses this client; the text names the alternative and the first step."""

    exit_code = ExitCode.REFUSED
