"""What reading may cost. Whatever is over a limit is an error or is told as not looked at; it never counts as clean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of reading; the defaults fit requests of agents and trees of source."""

    max_depth: int = 128
    """Of nested JSON in a request, texts that are JSON themselves included."""
    max_leaves: int = 200_000
    """Texts in one request."""
    max_layers: int = 3
    """Encodings in one another that are undone."""
    max_view_bytes: int = 16 * 1024 * 1024
    """Of all that is decoded from one block, besides `max_view_times` its length; also what a compressed text may become."""
    max_view_times: int = 8
    max_matches: int = 100_000
    """Places in the texts of one call, or in one piece of a file, that a detector has to judge."""
    max_findings: int = 10_000
    """In the same; nobody reads more, and each is ruled on, masked and recorded."""
    max_call_ms: int = 20_000
    """Of the processor's time for the texts of one call, or for one piece of a file, from when as much has gone by on the clock; what
    takes longer was made to. Looked at between one reading of a text and the next."""
    max_names_chars: int = 200_000
    """Of prose in one text that a model of names is asked about."""
    max_names_ms: int = 10_000
    """Of the processor's time that it may take for one text; looked at between one passage and the next."""
    cache_entries: int = 65_536
    """Blocks whose findings are kept."""
    cache_bytes: int = 32 * 1024 * 1024
    """Of memory for them, by estimate."""
    window_chars: int = 4 * 1024 * 1024
    """A longer file is looked at piece by piece."""
    overlap_chars: int = 64 * 1024
    """What such a piece repeats of the one before it; nothing longer is found across two."""
    max_file_bytes: int = 2 * 1024**3
    """A larger file is told as not looked at."""
    max_object_bytes: int = 64 * 1024**2
    """A larger content of a commit is told as not looked at."""
    max_archive_bytes: int = 512 * 1024**2
    """Of all that is unpacked from one archive."""
    max_archive_members: int = 20_000
    max_archive_layers: int = 3
    """Archives in one another that are opened."""


DEFAULT = Limits()
