"""Drills that break things on purpose and look at what is left: ``make drills``."""
