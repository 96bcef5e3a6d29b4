"""Runs a coding client of somebody else's inside the fence: its model calls go through the gateway, and nothing else gets out.

Never decides whether a client may be used (the register does) and never confines by itself (the sandbox does): it dresses
the client for the gateway, starts it, and tells what it tried.
"""
