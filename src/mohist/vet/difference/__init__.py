"""Learns which bits of a subject's requests depend on which fact about its surroundings.

Pure but for the laboratory that it is given: it never starts anything, and says that something depends on a fact only after
fresh runs in random order have shown it, with a bounded chance of being wrong.
"""
