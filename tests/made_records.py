"""Records as the chain's steps leave them, written by hand: for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfergate.storage import ArtefactStore, json_bytes

SESSIONS = [f"2024-{month:02d}-{day:02d}" for month in (1, 2, 3) for day in range(1, 29)]


class Made:
    """Writes records below an artefact root."""

    def __init__(self, root: Path) -> None:
        self.store = ArtefactStore(root)

    @classmethod
    def of(cls, store: ArtefactStore) -> Made:
        """Write below a root of any kind."""
        made = cls(Path())
        made.store = store
        return made

    def write(self, key: str, content: Any) -> None:
        self.store.replace(key, json_bytes(content))

    def batch(self, batch_id: str, known_at: str, source: str = "daily", **changes: Any) -> None:
        told = {
            "batch_id": batch_id,
            "source": source,
            "known_at": known_at,
            "received": 101,
            "loaded": 100,
            "new_revisions": 100,
            "unchanged": 0,
            "quarantined": 1,
            "tickers": 2,
            "first_session": SESSIONS[0],
            "last_session": SESSIONS[-1],
        } | changes
        self.write(f"batches/{batch_id}/batch.json", told)
        judged = {"batch_id": batch_id, "landing": [f"landing/{source}/file-of-{batch_id}"]}
        self.write(f"batches/{batch_id}/validation.json", judged)

    def snapshot(self, snapshot_id: str, as_of: str, source: str = "daily") -> None:
        told = {
            "id": snapshot_id,
            "source": source,
            "as_of": as_of,
            "tickers": ["AAA", "BBB"],
            "sessions": SESSIONS,
            "features": ["return_1"],
            "sql_hash": "5a1",
        }
        self.write(f"snapshots/{snapshot_id}/manifest.json", told)

    def foundation(self, version: str, snapshot_id: str, source: str = "daily") -> None:
        told = {
            "version": version,
            "snapshot_id": snapshot_id,
            "source": source,
            "sources": ["SRC1", "SRC2"],
            "targets": ["AAA", "BBB"],
            "checkpoints": [{}] * 9,
            "code_version": "c0de",
            "weights_sha256": "f" * 64,
        }
        self.write(f"foundations/{version}/foundation.json", told)

    def candidate(
        self, ticker: str, version: str, snapshot_id: str, foundation: str, **changes: Any
    ) -> None:
        told = {
            "ticker": ticker,
            "version": version,
            "snapshot_id": snapshot_id,
            "foundation_version": foundation,
            "recipe": "rec1",
            "source": "daily",
            "last_session": SESSIONS[-5],
            "run": {"n_seeds": 5},
            "flat": False,
            "code_version": "c0de",
            "weights_sha256": "c" * 64,
        } | changes
        self.write(f"candidates/{ticker}/{version}/bundle.json", told)

    def evaluation(
        self, name: str, foundation: str, reports: Mapping[str, Mapping[str, Any]]
    ) -> None:
        tickers = {ticker: report_of(**given) for ticker, given in reports.items()}
        told = {
            "evaluation_id": name,
            "foundation_version": foundation,
            "config": {"delta_min": 0.05},
            "pool": {},
            "tickers": tickers,
        }
        self.write(f"evaluations/{name}/verdicts.json", told)
        self.write("evaluations/latest.json", {"evaluation_id": name})
        for ticker in reports:
            self.write(f"evaluations/latest/{ticker}.json", {"evaluation_id": name})


def report_of(**changes: Any) -> dict[str, Any]:
    """What the gate says of one ticker, as far as lists show it."""
    return {
        "verdict": "INCONCLUSIVE",
        "candidate": None,
        "delta_sharpe": 0.5,
        "se": 0.7,
        "n_sessions": 504,
        "missing_sessions": 0,
        "last_session": SESSIONS[-5],
        "control": {"flat": {"weak": False}, "ridge": None},
        "reasons": ["Not enough evidence either way."],
        "looks": {
            "number": 1,
            "state": "look",
            "next_admissible_sessions": 63,
            "next_admissible_date": "2024-06-03",
        },
    } | changes


def chain(root: Path) -> Made:
    """Two loads, of which the first was learnt from; AAA is champion, BBB was rejected."""
    from datetime import UTC, datetime

    from transfergate.registry.history import ChampionHistory

    made = Made(root)
    made.batch("b1", "2024-03-28T20:00:00+00:00")
    made.batch("b2", "2024-03-29T20:00:00.5+00:00")
    made.batch("b3", "2024-03-28T19:00:00+00:00", source="other")
    made.snapshot("5a", "2024-03-28T20:00:00+00:00")
    made.foundation("f1", "5a")
    made.candidate("AAA", "a1", "5a", "f1")
    made.candidate("AAA", "a2", "5a", "f1")
    made.candidate("BBB", "b1", "5a", "f1")
    made.evaluation(
        "e1",
        "f1",
        {
            "AAA": {"verdict": "PROMOTE", "candidate": "a2", "delta_sharpe": 1.5},
            "BBB": {
                "verdict": "REJECT_NEGATIVE_TRANSFER",
                "candidate": "b1",
                "control": {"flat": {"weak": True}},
            },
        },
    )
    history = ChampionHistory(made.store)
    day = datetime(2024, 4, 1, 12, tzinfo=UTC)
    history.promote("AAA", "a1", who="anna", when=day, why="by hand", forced=True)
    history.promote(
        "AAA",
        "a2",
        who="gate, in run asset__2024-04-02T00:00:00+00:00_x",
        when=day.replace(day=2),
        why="Sharpe 2.00 against 0.50.",
        evaluation="e1",
    )
    return made
