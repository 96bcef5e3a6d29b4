"""Shows a run to a person in a terminal, and asks that person.

Sees events only, never the engine. It differs from cli in that it has no commands and no exit codes.
"""

from mohist.terminal.progress import Progress
from mohist.terminal.prompt import Prompt
from mohist.terminal.style import Style, plain

__all__ = ["Progress", "Prompt", "Style", "plain"]
