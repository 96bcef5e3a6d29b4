"""Confines what runs: every process that Mohist starts goes through this package.

Never decides whether something may run (policy does). No other package may import `subprocess`.
"""

from mohist.sandbox.process import Completed, Exit, Limits, Network, Process, Profile, Sandbox

__all__ = ["Completed", "Exit", "Limits", "Network", "Process", "Profile", "Sandbox"]
