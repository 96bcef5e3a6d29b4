"""Where releases run: one contract, and a module for each kind of place.

Never decides whether a release may go out or whether it is healthy (`delivery.deploy` and `delivery.health` do); it
does what it is told, again if need be.
"""

from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy, Target

__all__ = ["Answer", "ReleaseFacts", "Standing", "Strategy", "Target"]
