"""What was made, and from what: batches, snapshots, foundations, candidates, verdicts, champions.

Read from the JSON records of the artefact root alone. Records are read once by a process as long
as they are the same, so that pages of hundreds of tickers stay fast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from transfergate.errors import RegistryError
from transfergate.registry.broken import BrokenRecord, broken_record
from transfergate.registry.facts import (
    Batch,
    CandidateRecord,
    FoundationRecord,
    Judgement,
    SnapshotRecord,
    batch_of,
    candidate_of,
    foundation_of,
    judgements_of,
    landing_of,
    origin_key,
    origin_of,
    plain,
    pointer_of,
    sessions_of,
    snapshot_of,
)
from transfergate.registry.history import ChampionRow, Promotion, in_order, row_of, stack_of
from transfergate.storage import ArtefactStore
from transfergate.storage.recall import Pick, Picked, Recall

__all__ = [
    "Batch",
    "BrokenRecord",
    "CandidateRecord",
    "FoundationRecord",
    "Judgement",
    "Records",
    "SnapshotRecord",
    "serving",
]

LATEST = "evaluations/latest"


class Records:
    """The records of one artefact root, as one request sees them.

    A record that cannot be used is left out of what is returned, and said in ``broken``.

    Args:
        store: The artefact root.
        recall: Of the same store; what other requests have read.

    Attributes:
        broken: Records that could not be used until now, by key.
        unsure: Tickers whose history lacks rows or holds broken ones: what serves is not known.
    """

    def __init__(self, store: ArtefactStore, recall: Recall | None = None) -> None:
        self.store = store
        self.recall = recall or Recall(store)
        self.broken: dict[str, BrokenRecord] = {}
        self.unsure: set[str] = set()

    def batches(self) -> list[Batch]:
        """Loaded batches, oldest first."""
        keys = [key for key in self.store.keys("batches") if key.endswith("/batch.json")]
        return sorted(self._batches(keys), key=lambda batch: (batch.known_at, batch.batch_id))

    def batch(self, batch_id: str) -> Batch | None:
        """One loaded batch, or None."""
        key = f"batches/{batch_id}/batch.json"
        found = self._batches([key]) if self.store.exists(key) else []
        return found[0] if found else None

    def snapshots(self) -> list[SnapshotRecord]:
        """Published snapshots, oldest first."""
        found = self._all("snapshots", "manifest.json", snapshot_of)
        return sorted(found, key=lambda one: (one.as_of, one.snapshot_id))

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        """One snapshot, or None."""
        return self._one(f"snapshots/{snapshot_id}/manifest.json", snapshot_of)

    def sessions(self, snapshot_id: str) -> tuple[str, ...]:
        """Sessions of a snapshot's calendar, ISO dates, oldest first; none without a snapshot."""
        return self._one(f"snapshots/{snapshot_id}/manifest.json", sessions_of) or ()

    def foundations(self) -> list[FoundationRecord]:
        """Foundation versions, by version."""
        return self._all("foundations", "foundation.json", foundation_of)

    def foundation(self, version: str) -> FoundationRecord | None:
        """One foundation version, or None."""
        return self._one(f"foundations/{version}/foundation.json", foundation_of)

    def candidates(self) -> list[CandidateRecord]:
        """Candidates of all tickers, by ticker and version."""
        keys = [key for key in self.store.keys("candidates") if key.endswith("/bundle.json")]
        return list(self.read(keys, candidate_of).values())

    def candidate(self, ticker: str, version: str) -> CandidateRecord | None:
        """One candidate, or None."""
        return self._one(f"candidates/{ticker}/{version}/bundle.json", candidate_of)

    def champions(self, serving: Collection[Promotion]) -> dict[str, CandidateRecord]:
        """The candidates that serve, by ticker; one that is gone is broken."""
        keys = {f"candidates/{row.ticker}/{row.version}/bundle.json": row for row in serving}
        named = {key: f"the champion of {row.ticker}" for key, row in keys.items()}
        found = self.read(keys, candidate_of, named)
        return {keys[key].ticker: one for key, one in found.items()}

    def tickers(self) -> list[str]:
        """Tickers with a candidate, sorted."""
        return self.store.names("candidates")

    def evaluations(self) -> list[tuple[Judgement, ...]]:
        """What each evaluation said of its tickers, by the evaluation's id."""
        names = (name for name in self.store.names("evaluations") if not name.startswith("latest"))
        keys = [_verdicts(name) for name in names]
        return [tuple(one.values()) for one in self.read(keys, judgements_of, absent="").values()]

    def evaluation(self, evaluation_id: str, named_by: str) -> dict[str, Judgement]:
        """What one evaluation said, by ticker; nothing where a record names one that is gone."""
        key = _verdicts(evaluation_id)
        return self.read([key], judgements_of, {key: named_by}).get(key, {})

    def latest(self) -> dict[str, Judgement]:
        """Of each ticker what the evaluation said that judged it last.

        Where a pointer names one that lacks its ticker, the newest that has it speaks.
        """
        return self._judged(self.store.versions(LATEST))

    def latest_of(self, ticker: str) -> Judgement | None:
        """What the evaluation said of one ticker that judged it last, or None."""
        key = f"{LATEST}/{ticker}.json"
        found = self._judged({key: None}) if self.store.exists(key) else {}
        return found.get(ticker)

    def histories(self) -> dict[str, list[ChampionRow]]:
        """Every ticker's promotions, refreshes and rollbacks, oldest first.

        Of those in ``unsure`` the rows that can be read.
        """
        return self._histories(self.store.versions("champions"))

    def history(self, ticker: str) -> list[ChampionRow]:
        """One ticker's history, oldest first; of one in ``unsure`` what can be read of it."""
        return self._histories(self.store.versions(f"champions/{ticker}")).get(ticker, [])

    def read(
        self,
        keys: Collection[str] | Mapping[str, str | None],
        pick: Pick[Picked],
        named: Mapping[str, str] | None = None,
        *,
        absent: str | None = None,
    ) -> dict[str, Picked]:
        """Answers from records; those that cannot be used are noted as broken.

        Args:
            keys: Of the records, or their versions too.
            pick: What to take from each.
            named: Which record names each of them.
            absent: Given where a record need not be there.
        """
        answers = self.recall.pick_many(keys, pick)
        for key, error in answers.failed.items():
            if absent is None or not isinstance(error, FileNotFoundError):
                self.note(key, error, (named or {}).get(key, ""))
        return answers.found

    def note(self, key: str, error: Exception, named_by: str = "") -> None:
        """Note that a record cannot be used."""
        try:
            where = self.store.location(key)
        except ValueError:  # it leads out of the root: a damaged record names it
            where = self.store.location()
        self.broken.setdefault(key, broken_record(key, where, error, named_by))

    def _one(self, key: str, pick: Pick[Picked]) -> Picked | None:
        return self.read([key], pick, absent="").get(key)

    def _all(self, folder: str, name: str, pick: Pick[Picked]) -> list[Picked]:
        keys = [f"{folder}/{inner}/{name}" for inner in self.store.names(folder)]
        return list(self.read(keys, pick, absent="").values())

    def _batches(self, keys: list[str]) -> list[Batch]:
        loads = self.read(keys, plain)
        judged = {key: key.replace("/batch.json", "/validation.json") for key in loads}
        named = {judged[key]: key for key in loads}
        landings = self.read(list(judged.values()), landing_of, named)
        found = []
        for key, load in loads.items():
            try:
                found.append(batch_of(load, landings.get(judged[key], ())))
            except (RegistryError, KeyError, TypeError) as error:
                self.note(key, error)
        return found

    def _judged(self, pointers: Mapping[str, str | None]) -> dict[str, Judgement]:
        pointed = self.read(pointers, pointer_of)
        named = {_verdicts(name): key for key, name in pointed.items()}
        # Asked for anew: one that a process remembers may be gone.
        there = set(self.store.names("evaluations"))
        for name in sorted(set(pointed.values()) - there):
            self.note(_verdicts(name), FileNotFoundError(), named[_verdicts(name)])
        told = self.read([_verdicts(x) for x in sorted(set(pointed.values()) & there)],
                         judgements_of, named)  # fmt: skip
        found, lacking = {}, set()
        for key, name in pointed.items():
            ticker = key.removeprefix(f"{LATEST}/").removesuffix(".json")
            judgements = told.get(_verdicts(name))
            if judgements is None:  # broken, and noted: what it said is not known
                continue
            if ticker in judgements:
                found[ticker] = judgements[ticker]
                continue
            self.note(key, RegistryError(f"it names evaluation {name}, which lacks {ticker}"))
            lacking.add(ticker)
        return found | (self._newest(lacking) if lacking else {})

    def _newest(self, tickers: Collection[str]) -> dict[str, Judgement]:
        """What the newest evaluation that judged it said of each of some tickers."""
        told = {one[0].evaluation_id: one for one in self.evaluations() if one}
        origins = self.read([origin_key(name) for name in told], origin_of, absent="")

        def judged_at(name: str) -> tuple[str, str]:  # those of unknown time are the oldest
            return origins.get(origin_key(name), {}).get("judged_at") or "", name

        return {
            one.ticker: one
            for name in sorted(told, key=judged_at)
            for one in told[name]
            if one.ticker in tickers
        }

    def _histories(self, versions: Mapping[str, str | None]) -> dict[str, list[ChampionRow]]:
        keys = {
            key: version
            for key, version in versions.items()
            if key.count("/") == 2 and key.endswith(".json")
        }
        read = self.read(keys, row_of)
        found: dict[str, list[ChampionRow]] = {}
        for key in keys:
            rows = found.setdefault(key.split("/")[1], [])
            if key in read:
                rows.append(read[key])
        for ticker, rows in found.items():
            try:
                in_order(ticker, rows)
            except RegistryError as error:
                self.unsure.add(ticker)
                if not any(key.startswith(f"champions/{ticker}/") for key in self.broken):
                    self.note(f"champions/{ticker}", error)
        self.unsure |= {key.split("/")[1] for key in keys if key not in read}
        return found


def serving(rows: Iterable[ChampionRow]) -> Promotion | None:
    """The promotion that serves after a history, or None where flat serves."""
    stack = stack_of(list(rows))
    return stack[-1] if stack else None


def _verdicts(evaluation_id: str) -> str:
    return f"evaluations/{evaluation_id}/verdicts.json"
