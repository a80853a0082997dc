"""``python -m transfergate.cli``."""

from transfergate.cli import entry

entry()
