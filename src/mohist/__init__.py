"""Mohist: AI software development under a company's own control."""

__version__ = "0.1.0"
