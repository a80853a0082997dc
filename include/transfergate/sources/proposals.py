"""A proposal for a format, and what its columns of numbers add to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.settings import FileFormatParams
from transfergate.settings.formats import PRICE_COLUMNS
from transfergate.sources.guesses import NULL_WORDS, candle_share, guess_numbers
from transfergate.sources.numbers import read_numbers

_USUAL_NULLS = ("null", "NULL", "NaN", "nan", "NA", "N/A")


@dataclass
class Proposal:
    """What a file's format may be.

    Attributes:
        name: The file, below the root.
        format: Fields of ``FileFormatParams``.
        evidence: What speaks for it, with counts.
        doubts: What the reader must decide, or cannot know.
        rows: Rows read as proposed, and how many of them hold an unreadable cell; None where the
            file cannot be read so.
    """

    name: str
    format: dict[str, Any] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    rows: tuple[int, int] | None = None


def propose_numbers(proposal: Proposal, columns: dict[str, pa.Array]) -> None:
    """Add separators, suffixes and null words of the columns of numbers."""
    options = proposal.format
    for name, column in columns.items():
        guess = guess_numbers(column)
        for key, value in guess.options.items():
            if key == "suffixes":
                options.setdefault("suffixes", {}).update(value)
            elif options.setdefault(key, value) != value:
                proposal.doubts.append(f"{name}: {key} {value!r} here, {options[key]!r} elsewhere")
        new = [word for word in guess.nulls if word not in _USUAL_NULLS]
        if new:
            known = options.setdefault("null_words", list(_USUAL_NULLS))
            known += [word for word in new if word not in known]
            proposal.doubts.append(f"{name}: {', '.join(map(repr, new))} taken for no number")
        if guess.nulls:
            count = pc.sum(pc.is_in(column, value_set=pa.array(list(NULL_WORDS)))).as_py()
            proposal.evidence.append(f"{name}: {count} cells say {', '.join(guess.nulls)}")
        if guess.n_left:
            proposal.doubts.append(
                f"{name}: {guess.n_left} values are no numbers, such as "
                f"{', '.join(map(repr, guess.left))}"
            )
        if guess.doubt:
            proposal.doubts.append(f"{name}: {guess.doubt}")


def _floats(proposal: Proposal, column: pa.Array) -> npt.NDArray[np.float64]:
    wanted = ("decimal", "thousands", "suffixes", "signs")
    shape = FileFormatParams.model_validate(
        {k: v for k, v in proposal.format.items() if k in wanted}
    )
    values = read_numbers(column, shape, 1.0).values
    return np.asarray(values.cast(pa.float64()).fill_null(np.nan))


def find_positions(proposal: Proposal, columns: dict[int, pa.Array], found: dict[str, int]) -> None:
    """Find prices and volume without a header.

    Prices are the first four columns in a row whose second is the highest and third the lowest.
    """
    floats = {i: _floats(proposal, column) for i, column in columns.items()}
    rest = [i for i in sorted(floats) if i != found.get("session_date")]
    for start in rest:
        four = [start + k for k in range(4)]
        if set(four) <= set(rest) and candle_share([floats[i] for i in four]) > 0.9:
            found.update(zip(PRICE_COLUMNS, four, strict=True))
            break
    later = [i for i in rest if i not in found.values()]
    whole = [
        i for i in later
        if np.isfinite(floats[i]).any() and (np.nan_to_num(floats[i]) % 1 == 0).all()
    ]  # fmt: skip
    if whole:
        found["volume"] = max(whole, key=lambda i: float(np.nanmedian(floats[i])))
        proposal.doubts.append(
            f"volume is taken from position {found['volume'] + 1} of {len(columns)}: the largest "
            f"whole numbers; others are at {', '.join(str(i + 1) for i in later)}"
        )


def weigh_prices(proposal: Proposal, columns: dict[int, pa.Array], found: dict[str, int]) -> None:
    """Say how far open, high, low and close behave as such."""
    if not set(PRICE_COLUMNS) <= set(found):
        return
    prices = [_floats(proposal, columns[found[name]].cast(pa.string())) for name in PRICE_COLUMNS]
    share = candle_share(prices)
    proposal.evidence.append(f"open and close lie within low and high in {share:.1%} of rows")
    if share < 0.9:
        proposal.doubts.append("open, high, low and close may be other columns than these")
    median = float(np.nanmedian(prices[3])) if np.isfinite(prices[3]).any() else 0.0
    if median > 10_000 and all((np.nan_to_num(p) % 1 == 0).all() for p in prices):
        proposal.doubts.append(
            f"prices are whole numbers around {median:.0f}: if they are in units such as 1/10000, "
            f"declare price_unit = 1e-4"
        )
