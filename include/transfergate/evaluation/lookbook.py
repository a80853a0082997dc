"""The record of looks: append-only, one write-once object per evaluation that took some.

``looks/000001.json``, ``000002.json``, … Each holds all looks of one evaluation, so that they
count together or not at all; of two evaluations that were planned on the same state only one gets
the number, and the other has to plan anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfergate.errors import StorageConflict
from transfergate.evaluation.looks import Look
from transfergate.storage import ArtefactStore, json_bytes


class LookBook:
    """All looks below ``looks/`` of an artefact store."""

    def __init__(self, store: ArtefactStore) -> None:
        self.store = store

    def read(self) -> tuple[int, dict[str, list[Look]]]:
        """Number of the last object, and each ticker's looks, oldest first."""
        keys = [key for key in self.store.keys("looks") if key.endswith(".json")]
        looks: dict[str, list[Look]] = {}
        for key in sorted(keys):
            for item in self.store.read_json(key)["looks"]:
                looks.setdefault(item["ticker"], []).append(Look(**item))
        return len(keys), looks

    def record(self, number: int, evaluation: str, looks: Sequence[Look]) -> bool:
        """Enter the looks of one evaluation under a number; none is no entry.

        Returns:
            True if they are entered, False if the number was taken meanwhile: plan anew.
        """
        if not looks:
            return True
        rows = [replace(look, evaluation=evaluation).as_dict() for look in looks]
        content = json_bytes({"evaluation": evaluation, "looks": rows})
        try:
            self.store.write_once(f"looks/{number:06d}.json", content)
        except StorageConflict:
            return False
        return True
