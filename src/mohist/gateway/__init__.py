"""The HTTP door for model traffic: every call of every client identified, decided, metered and recorded.

Never changes a byte of a call that stays in its dialect, never lets a client's own credential out. It
differs from provider in that it receives calls; provider makes them.
"""
