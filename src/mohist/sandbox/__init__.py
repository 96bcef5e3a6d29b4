"""Confines what runs: every process that Mohist starts goes through this package.

Never decides whether something may run (policy does). No other package may import `subprocess`.
"""

from mohist.sandbox.bubblewrap import Bubblewrap
from mohist.sandbox.errors import GitError, NoSandboxError, RefusedError, SandboxError
from mohist.sandbox.process import Completed, Exit, Limits, Network, Process, Profile, Sandbox
from mohist.sandbox.run import run

__all__ = [
    "Bubblewrap",
    "Completed",
    "Exit",
    "GitError",
    "Limits",
    "Network",
    "NoSandboxError",
    "Process",
    "Profile",
    "RefusedError",
    "Sandbox",
    "SandboxError",
    "run",
]
