"""Runs a subject in the fence against a scripted model and keeps what it sent, read, wrote, started and tried to reach.

Never says what a difference between two runs means (that is `difference`), and lets no byte out of the machine.
"""
