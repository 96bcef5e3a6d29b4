"""`python -m mohist`."""

from mohist.cli.main import entry

entry()
