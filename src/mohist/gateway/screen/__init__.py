"""The guard's door in the gateway: rules, placeholders and records of what `mohist.guard` finds in calls and answers.

`Screen` fulfils `mohist.gateway.guard.Guard`. It decides nothing by itself: what happens to a finding is the rulebook's word.
"""

from mohist.gateway.screen.note import Noted
from mohist.gateway.screen.screen import Screen, ScreenSettings

__all__ = ["Noted", "Screen", "ScreenSettings"]
