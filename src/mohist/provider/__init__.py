"""Speaks to models: wire formats, catalogue, replay.

Never decides whether a call may be made and never touches the workspace. It differs from the gateway
in that it makes calls; the gateway receives them.
"""
