"""Composition root: configuration in, working objects out; lifetimes are owned here.

Holds no business decision. Everything below it gets time, chance, environment and disk root as arguments.
"""
