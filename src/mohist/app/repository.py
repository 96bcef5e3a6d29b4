"""The git repository a run works in, through the hardened git door only."""

from __future__ import annotations
