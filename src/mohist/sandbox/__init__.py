"""Confines what runs: every process that Mohist starts goes through this package.

Never decides whether something may run (policy does). No other package may import `subprocess`.
"""

from mohist.sandbox.bubblewrap import Bubblewrap
from mohist.sandbox.detached import start_detached
from mohist.sandbox.errors import (
    AwayError,
    BarredError,
    GitError,
    InUseError,
    MovedError,
    NoSandboxError,
    RefusedError,
    SandboxError,
)
from mohist.sandbox.fence import (
    Asked,
    Attempt,
    Authority,
    Credential,
    Decision,
    Dial,
    Fence,
    FenceLimits,
    Refuse,
    Rule,
    Rules,
    Serve,
)
from mohist.sandbox.git import Change, Git
from mohist.sandbox.history import History, Introduced, Told, batches
from mohist.sandbox.landlock import Landlock
from mohist.sandbox.process import Completed, Exit, Limits, Network, Process, Profile, Sandbox, Way
from mohist.sandbox.remote import Remote, RemoteStore
from mohist.sandbox.repository import Repository, find_repository
from mohist.sandbox.run import run
from mohist.sandbox.selftest import Guarantee
from mohist.sandbox.store import Author, GitStore
from mohist.sandbox.toolchain import find_toolchains

__all__ = [
    "Asked",
    "Attempt",
    "Author",
    "Authority",
    "AwayError",
    "BarredError",
    "Bubblewrap",
    "Change",
    "Completed",
    "Credential",
    "Decision",
    "Dial",
    "Exit",
    "Fence",
    "FenceLimits",
    "Git",
    "GitError",
    "GitStore",
    "Guarantee",
    "History",
    "InUseError",
    "Introduced",
    "Landlock",
    "Limits",
    "MovedError",
    "Network",
    "NoSandboxError",
    "Process",
    "Profile",
    "Refuse",
    "RefusedError",
    "Remote",
    "RemoteStore",
    "Repository",
    "Rule",
    "Rules",
    "Sandbox",
    "SandboxError",
    "Serve",
    "Told",
    "Way",
    "batches",
    "find_repository",
    "find_toolchains",
    "run",
    "start_detached",
]
