"""Versions, lineage and champions.

The champion history (write-once objects below ``champions/``) is the truth; MLflow holds the
versions with lineage, metrics and learning curves, and its alias ``champion`` is derived.
"""

from transfergate.registry.history import ChampionRow, Promotion
from transfergate.registry.registry import Registry

__all__ = ["ChampionRow", "Promotion", "Registry"]
