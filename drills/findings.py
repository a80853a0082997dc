"""What a drill found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was done, what was found, and whether that is as it must be."""

    fault: str
    found: str
    well: bool
