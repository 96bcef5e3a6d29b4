"""Reads a subject's files without running anything: hosts, encoded tables, facts that it reads, odd characters, code made at run time.

Says what stands where. What a program does with it is for the steps that run it.
"""

from mohist.vet.static.examine import examine

__all__ = ["examine"]
