"""Who runs this process."""

from __future__ import annotations

import os
import pwd


def user_name() -> str:
    """Who runs this process, as the machine knows them; what the environment says of it counts for nothing."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
