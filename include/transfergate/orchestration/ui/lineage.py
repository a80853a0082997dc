"""Lineage: from a champion back to its bars, and from a batch of bars on to champions."""

from __future__ import annotations

from transfergate.orchestration.ui.guard import EVALUATIONS, guarded

router = guarded(EVALUATIONS)
