"""The champion history of each ticker: append-only, one write-once object per row.

``champions/<ticker>/000001.json``, ``000002.json``, … A row is created exclusively, so of two
concurrent writers one gets the number and the other nothing.

A promotion puts a version on top of a stack, a rollback takes the top off again. Rolling back
the first promotion leaves no champion, and flat serves: a bad first champion can be withdrawn.
A refresh (a retrain of the approved recipe, between looks) is a row of its own kind and stacks
like a promotion.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from transfergate.errors import RegistryError, StorageConflict
from transfergate.registry.broken import broken_record, built
from transfergate.storage import ArtefactStore, json_bytes


@dataclass(frozen=True)
class ChampionRow:
    """One promotion, refresh or rollback.

    Attributes:
        ticker: The target.
        number: 1, 2, … in the ticker's history.
        action: What was done.
        version: The champion from then on; None after the first promotion was rolled back.
        previous: The champion until then.
        who: Who approved it.
        when: ISO date and time with offset.
        why: The reason given.
        evaluation: Evaluation that it rests on, if any.
        forced: Whether somebody insisted although the gate had not said PROMOTE.
    """

    ticker: str
    number: int
    action: Literal["promote", "rollback", "refresh"]
    version: str | None
    previous: str | None
    who: str
    when: str
    why: str
    evaluation: str | None = None
    forced: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Promotion(ChampionRow):
    """A row that names a version: while no rollback takes it back, that version serves."""

    version: str


class ChampionHistory:
    """All tickers' histories below ``champions/`` of an artefact store."""

    def __init__(self, store: ArtefactStore) -> None:
        self.store = store

    def tickers(self) -> list[str]:
        """Tickers that ever had a champion, sorted."""
        return sorted({key.split("/")[1] for key in self.store.keys("champions")})

    def rows(self, ticker: str) -> list[ChampionRow]:
        """A ticker's history, oldest first.

        Raises:
            RegistryError: If a row is missing or cannot be used: what serves is not known then.
        """
        keys = [key for key in self.store.keys(f"champions/{ticker}") if key.endswith(".json")]
        rows = [self._row(key) for key in sorted(keys)]
        in_order(ticker, rows)
        return rows

    def stack(self, ticker: str) -> list[Promotion]:
        """The promotions that no rollback took back, oldest first; the last one serves."""
        return stack_of(self.rows(ticker))

    def promote(
        self,
        ticker: str,
        version: str,
        *,
        who: str,
        when: datetime,
        why: str,
        evaluation: str | None = None,
        action: Literal["promote", "refresh"] = "promote",
        forced: bool = False,
    ) -> ChampionRow:
        """Make a version the champion.

        Raises:
            RegistryError: If it is the champion already, or somebody else changed the champion
                at the same time; nothing is changed.
        """
        rows = self.rows(ticker)
        stack = stack_of(rows)
        if stack and stack[-1].version == version:
            raise RegistryError(
                f"{ticker}: {version} is the champion already, since {stack[-1].when}; "
                f"nothing to do"
            )
        previous = stack[-1].version if stack else None
        return self._create(
            Promotion(
                ticker,
                len(rows) + 1,
                action,
                version,
                previous,
                who,
                _iso(when),
                why,
                evaluation,
                forced,
            )
        )

    def rollback(
        self, ticker: str, *, who: str, when: datetime, why: str, champion: str | None = None
    ) -> ChampionRow:
        """Go back to the champion before the current one; twice goes back further.

        Raises:
            RegistryError: If there is no champion or another one than the named, or somebody
                else changed it at the same time; nothing is changed.
        """
        rows = self.rows(ticker)
        stack = stack_of(rows)
        if not stack:
            known = "; it never had one" if not rows else ", all promotions were rolled back"
            raise RegistryError(
                f"{ticker}: no champion to roll back{known}; see `transfergate status {ticker}`"
            )
        before = stack[-2].version if len(stack) > 1 else None
        current = stack[-1].version
        if champion not in (None, current):
            raise RegistryError(
                f"{ticker}: the champion is {current}, expected {champion}; nothing was changed. "
                f"See `transfergate status {ticker}`, and name the version that is to go"
            )
        return self._create(
            ChampionRow(ticker, len(rows) + 1, "rollback", before, current, who, _iso(when), why)
        )

    def _row(self, key: str) -> ChampionRow:
        try:
            return row_of(self.store.read_json(key))
        except (ValueError, KeyError, TypeError, RegistryError) as error:
            broken = broken_record(key, self.store.location(key), error)
            raise RegistryError(f"{broken.where}: {broken.problem}. {broken.advice}") from error

    def _create(self, row: ChampionRow) -> ChampionRow:
        key = f"champions/{row.ticker}/{row.number:06d}.json"
        try:
            # The same row may be there: a store that lost its answer was asked twice.
            self.store.write_once(key, json_bytes(row.as_dict()))
        except StorageConflict as error:
            raise RegistryError(
                f"{row.ticker}: the champion was changed by somebody else at the same time "
                f"({key} exists); this {row.action} changed nothing: look at "
                f"`transfergate status {row.ticker}` and decide anew"
            ) from error
        return row


def row_of(content: dict[str, Any]) -> ChampionRow:
    """A row as it was written.

    Raises:
        RegistryError: If it holds what this version does not know: the champion may be another.
    """
    kind: type[ChampionRow] = ChampionRow if content["action"] == "rollback" else Promotion
    unknown = sorted(content.keys() - {field.name for field in fields(kind)})
    if unknown or content["action"] not in ("promote", "rollback", "refresh"):
        what = f"fields {', '.join(unknown)}" if unknown else f"the action {content['action']!r}"
        raise RegistryError(
            f"it has {what}, which this version does not know: a later one wrote it"
        )
    row = built(kind, {"evaluation": None, "forced": False} | content)
    if datetime.fromisoformat(row.when).tzinfo is None:
        raise RegistryError(f"its time {row.when!r} has no offset")
    return row


def in_order(ticker: str, rows: list[ChampionRow]) -> None:
    """Make sure that a history is whole: rows 1, 2, … of this ticker.

    Raises:
        RegistryError: If a row is missing, or of another ticker, or rolls back what never was.
    """
    depth = 0
    for number, row in enumerate(rows, 1):
        depth += 1 if isinstance(row, Promotion) else -1
        if (row.ticker, row.number) != (ticker, number) or depth < 0:
            raise RegistryError(
                f"champions/{ticker}: expected row {number} of {ticker}, found row {row.number} "
                f"of {row.ticker} ({row.action}): the history is not whole, so nobody can say what "
                f"serves; restore the folder from a backup"
            )


def stack_of(rows: list[ChampionRow]) -> list[Promotion]:
    """The promotions of a history that no rollback took back, oldest first."""
    stack: list[Promotion] = []
    for row in rows:
        if isinstance(row, Promotion):
            stack.append(row)
        elif stack:
            stack.pop()
    return stack


def _iso(when: datetime) -> str:
    if when.tzinfo is None:
        raise ValueError(f"expected a time with a time zone, found {when}")
    return when.isoformat(timespec="seconds")
