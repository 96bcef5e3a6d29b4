"""Shares costs between people."""
