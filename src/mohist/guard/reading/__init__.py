"""Reads a text in every way in which it may mean something: as it stands, then with the encodings undone that it may hold.

Decides nothing about what is found; a reading that makes no sense is only one that nothing is found in.
"""

from mohist.guard.reading.reader import Reading, readings

__all__ = ["Reading", "readings"]
