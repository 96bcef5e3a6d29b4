"""What vetting may cost. Whatever is over a limit is told as not looked at; it never counts as clean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of acquiring and of reading; the defaults fit coding clients of some hundred megabytes."""

    max_download_bytes: int = 1024**3
    """Of one file from a registry."""
    max_answer_bytes: int = 64 * 1024**2
    """Of what a registry says about a package."""
    request_timeout_s: float = 60.0
    """Without a byte; a download as a whole takes what it takes."""
    max_redirects: int = 5
    max_unpacked_bytes: int = 4 * 1024**3
    """Of all that is unpacked of one artefact."""
    max_members: int = 200_000
    """Files in one archive."""
    max_ratio: int = 300
    """What a file may unpack to, in times of what it takes in the archive, beyond `max_ratio_free_bytes`."""
    max_ratio_free_bytes: int = 64 * 1024**2
    max_archive_layers: int = 3
    """Archives in one another that are opened."""
    max_path_chars: int = 1024
    max_file_bytes: int = 2 * 1024**3
    """A larger file is told as not looked at."""
    max_text_bytes: int = 128 * 1024**2
    """A longer text is looked at up to here."""
    window_bytes: int = 16 * 1024**2
    """How much of a binary file is held at a time."""
    overlap_bytes: int = 64 * 1024
    """What such a window repeats of the one before it."""
    max_files: int = 100_000
    """In a tree."""
    max_candidate_bytes: int = 256 * 1024
    """A longer literal is no table of hosts or zones, and is not searched for keys."""
    max_decoding_states: int = 96
    """Combinations of encodings that are tried on one literal."""
    max_decoding_layers: int = 4
    max_tables: int = 200
    """Encoded tables that are told of one text, and other findings of their kind in all."""
    max_places: int = 8
    """Pieces of evidence that one finding names; the inventory counts them all."""
    max_inventory: int = 5_000
    """Hosts, and other items of one kind, that the inventory names."""


DEFAULT = Limits()
