"""What every package may stand on: clock, ids, errors, canonical JSON, paths. A closed list.

Never imports another package of Mohist, never reads the environment at import. It differs from
all others in that it knows nothing of agents, models or policy.
"""

from mohist.base.canonical import canonical_json, sha256_hex
from mohist.base.clock import Clock, SystemClock
from mohist.base.errors import ExitCode, Halt, MohistError
from mohist.base.ids import IdSource, RandomIds
from mohist.base.paths import StatePaths
from mohist.base.value import light_dataclass

__all__ = [
    "Clock",
    "ExitCode",
    "Halt",
    "IdSource",
    "MohistError",
    "RandomIds",
    "StatePaths",
    "SystemClock",
    "canonical_json",
    "light_dataclass",
    "sha256_hex",
]
