"""The software register: which tools may be used, in which versions, from when on, and what to use instead. Pure.

Says nothing of what a tool does (vet examines it) and confines nothing (sandbox does): entries, a tool and a day go in, one of
`Allowed`, `Warned` and `Refused` comes out.
"""

from mohist.policy.register.decision import (
    NO_USE,
    Allowed,
    Outcome,
    Refused,
    Register,
    Settings,
    Use,
    Warned,
    decide,
    strictest,
)
from mohist.policy.register.entry import (
    Conditions,
    Disposition,
    Entry,
    Evidence,
    as_mapping,
    check_id,
    entry_of,
)
from mohist.policy.register.file import as_text, parse_register, settings_of
from mohist.policy.register.span import Scheme, Span
from mohist.policy.register.tool import KnownTool, Tool, known_tools, tool_named, tool_of_client

__all__ = [
    "NO_USE",
    "Allowed",
    "Conditions",
    "Disposition",
    "Entry",
    "Evidence",
    "KnownTool",
    "Outcome",
    "Refused",
    "Register",
    "Scheme",
    "Settings",
    "Span",
    "Tool",
    "Use",
    "Warned",
    "as_mapping",
    "as_text",
    "check_id",
    "decide",
    "entry_of",
    "known_tools",
    "parse_register",
    "settings_of",
    "strictest",
    "tool_named",
    "tool_of_client",
]
