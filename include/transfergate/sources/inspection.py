"""A proposal for the format of a file, with its evidence and its doubts; nothing applies it."""

from __future__ import annotations

import csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.errors import SourceError
from transfergate.settings import TICKER_PATTERN, FileFormatParams
from transfergate.settings.formats import BAR_COLUMNS, PRICE_COLUMNS
from transfergate.sources.content import broken, refuse_no_text, unpacked
from transfergate.sources.folder import Folder
from transfergate.sources.guesses import (
    DateGuess,
    guess_dates,
)
from transfergate.sources.layout import read_layout
from transfergate.sources.proposals import (
    Proposal,
    find_positions,
    propose_numbers,
    weigh_prices,
)
from transfergate.sources.reading import BarFile
from transfergate.sources.sheets import SheetReader

_NAMES = {
    "ticker": ("ticker", "symbol", "tic", "code", "instrument"),
    "session_date": (
        "session_date",
        "date",
        "datadate",
        "datetime",
        "timestamp",
        "time",
        "day",
        "",
    ),
    "open": ("open", "prcod", "open price", "1. open", "o"),
    "high": ("high", "prchd", "high price", "2. high", "h", "max"),
    "low": ("low", "prcld", "low price", "3. low", "l", "min"),
    "close": ("close", "price", "prccd", "close price", "close/last", "4. close", "c", "last"),
    "volume": ("volume", "vol.", "vol", "cshtrd", "5. volume", "shares traded", "v"),
    "adj_close": ("adj_close", "adj close", "adjclose", "adj. close", "adjusted close"),
    "currency": ("currency", "ccy"),
    "split_ratio": ("split_ratio", "stock splits", "split ratio"),
    "dividend": ("dividend", "dividends", "ex_dividend", "ex-dividend"),
}

_SPREADSHEET = re.compile(
    r"\d{1,2}-[A-Za-z]{3}|[A-Za-z]{3}-\d{2}|\d(\.\d+)?E[+-]?\d+|TRUE|FALSE|#[A-Z0-9/]+[!?A]?"
)


def inspect_file(folder: Folder, name: str) -> Proposal:
    """Propose a format for one file.

    Raises:
        SourceError: If the file cannot be opened at all.
    """
    proposal = Proposal(name, {"pattern": _pattern_of(name)})
    if name.lower().endswith((".parquet", ".pq")):
        reader = SheetReader(folder.url(name), folder.read(name), FileFormatParams())
        columns = reader.read(range(reader.width)).columns
        text = {i: _as_text(column) for i, column in columns.items()}
        for i, column in columns.items():
            if text[i].null_count > column.null_count:
                proposal.doubts.append(f"{reader.names[i]!r} holds {column.type}: nothing to read")
        _columns(proposal, reader.names, text, typed=True)
    else:
        raw = bytes(unpacked(folder.url(name), folder.read(name)))
        refuse_no_text(folder.url(name), raw)
        try:
            shape = read_layout(proposal.format, proposal.evidence, proposal.doubts, raw)
        except csv.Error as error:
            raise broken(folder.url(name), "CSV", error) from error
        reader = SheetReader(folder.url(name), folder.read(name), shape)
        sheet = reader.read(range(reader.width))
        _columns(proposal, reader.names, sheet.columns, typed=False)
    _try(folder, proposal)
    return proposal


def _columns(
    proposal: Proposal, names: list[str], columns: dict[int, pa.Array], *, typed: bool
) -> None:
    found = _by_name(names) if names else {}
    dates = _date_column(proposal, names, columns, found)
    if names:
        for contract, index in found.items():
            _declare(proposal, contract, names[index], names)
    else:
        find_positions(proposal, columns, found)
        proposal.format["columns"] = {name: index + 1 for name, index in found.items()}
    missing = [name for name in PRICE_COLUMNS if name not in found]
    if missing:
        proposal.doubts.append(f"no column looks like {', '.join(missing)}: name it in columns")
    if dates is not None and not typed:
        _dates(proposal, dates, columns[found["session_date"]])
    if dates is not None and typed:
        proposal.format.pop("date_format", None)
    if not typed:
        propose_numbers(proposal, {n: columns[i] for n, i in found.items() if n in _numeric()})
    weigh_prices(proposal, columns, found)
    _ticker(proposal, names, columns, found, in_time=bool(dates and dates.order))
    if "split_ratio" in found and "adj_close" not in found:
        proposal.doubts.append(
            "splits are listed but no adjusted close: if the prices are adjusted already, as "
            "yfinance ships them by default, leave split_ratio and dividend out and declare "
            'prices = "adjusted"'
        )


def _numeric() -> tuple[str, ...]:
    return (*PRICE_COLUMNS, "volume", "adj_close", "split_ratio", "dividend")


def _by_name(names: list[str]) -> dict[str, int]:
    lower = [name.lower() for name in names]
    found: dict[str, int] = {}
    for contract, aliases in _NAMES.items():
        for alias in aliases:
            if lower.count(alias) == 1 and lower.index(alias) not in found.values():
                found[contract] = lower.index(alias)
                break
    return found


def _declare(proposal: Proposal, contract: str, name: str, names: list[str]) -> None:
    implied = contract in BAR_COLUMNS and name == contract
    implied |= (contract, name) in (("ticker", "symbol"), ("session_date", "date"))
    if not implied:
        proposal.format.setdefault("columns", {})[contract] = name


def _date_column(
    proposal: Proposal, names: list[str], columns: dict[int, pa.Array], found: dict[str, int]
) -> DateGuess | None:
    tried = [found["session_date"]] if "session_date" in found else sorted(columns)[:4]
    guesses = {i: guess_dates(columns[i]) for i in tried}
    best = max(guesses, key=lambda i: guesses[i].share, default=None)
    if best is None or guesses[best].share < 0.3:
        proposal.doubts.append("no column reads as dates: name it in columns.session_date")
        return None
    found["session_date"] = best
    return guesses[best]


def _dates(proposal: Proposal, guess: DateGuess, text: pa.Array) -> None:
    counted = f"{guess.n_values - guess.n_left} of {guess.n_values} dates"
    proposal.evidence.append(f"{counted} fit {' or '.join(guess.readings)}")
    if guess.readings != ("%Y-%m-%d",):
        one = len(guess.readings) == 1
        proposal.format["date_format"] = guess.readings[0] if one else list(guess.readings)
    if len(guess.readings) > 1:
        proposal.doubts.append(
            f"{len(guess.readings)} date formats in one file ({', '.join(guess.readings)}): make "
            f"sure that each part means what it seems to mean, for example that days follow days"
        )
    for rival in guess.rivals:
        runs = "; only the first gives dates that run one way" if guess.order else ""
        proposal.doubts.append(
            f"{rival.example!r} fits both {rival.chosen} and {rival.other}: 100 % of {rival.count} "
            f"values fit both{runs}; decide"
        )
    if guess.n_left:
        proposal.doubts.append(
            f"{guess.n_left} dates cannot be read, such as "
            f"{', '.join(map(repr, guess.left))}: correct them, or say unreadable = 'quarantine'"
        )
    if guess.order:
        run = "first to last" if guess.order == "oldest_first" else "last to first"
        proposal.evidence.append(f"the dates run {run} without exception")
        proposal.format["order"] = guess.order
    if "iso" in guess.readings:
        _offsets(proposal, text)


def _offsets(proposal: Proposal, text: pa.Array) -> None:
    found = pc.extract_regex(text, r"(?P<z>[+-]\d{2}:?\d{2}|Z)$")
    offsets = sorted(set(pc.unique(found.field("z").drop_null()).to_pylist()) - {""})
    if not offsets:
        return
    eastern = set(offsets) <= {"-04:00", "-05:00", "-0400", "-0500"}
    proposal.format["time_zone"] = "America/New_York" if eastern else "UTC"
    proposal.doubts.append(
        f"stamps carry the offsets {', '.join(offsets)}: time_zone = "
        f"{proposal.format['time_zone']!r} is a guess; name the exchange's"
    )


def _ticker(
    proposal: Proposal,
    names: list[str],
    columns: dict[int, pa.Array],
    found: dict[str, int],
    *,
    in_time: bool,
) -> None:
    stem = proposal.name.rpartition("/")[2].removesuffix(".gz").removesuffix(".zip")
    stem = re.sub(r"\.(csv|txt|tsv|dat|parquet|pq)$", "", stem, flags=re.IGNORECASE)
    if "ticker" in found:
        values = pc.unique(_as_text(columns[found["ticker"]])).to_pylist()
        if in_time and 1 < len(values) <= 5 and _runs(columns[found["ticker"]]) == len(values):
            name = names[found["ticker"]] if names else found["ticker"] + 1
            given = proposal.format.setdefault("columns", {})
            given.pop("ticker", None)
            given["symbol"] = name
            proposal.doubts.append(
                f"{', '.join(map(str, values))} follow one another in column {name!r}: one ticker "
                f"whose symbol changed (proposed), or one ticker after another; decide"
            )
        else:
            first = f", the first {values[0]!r}" if values else ": it has no row"
            proposal.evidence.append(f"{len(values)} tickers{first}")
            if odd := [value for value in values if value and _SPREADSHEET.fullmatch(value)]:
                proposal.doubts.append(
                    f"tickers such as {', '.join(map(repr, odd[:3]))}: a spreadsheet may have made "
                    f"them of MAR1, 1E5 or an empty cell; compare with the vendor's own file"
                )
            return
    proposal.format["ticker_from"] = "filename"
    plain = re.fullmatch(TICKER_PATTERN, stem) and "_" not in stem
    proposal.evidence.append(f"no column of tickers: the file's name gives {stem!r}")
    if not plain:
        proposal.doubts.append(
            f"{stem!r} does not look like a ticker: use ticker_from = 'constant' with ticker, or "
            f"'path' with path_pattern"
        )


def _runs(column: pa.Array) -> int:
    codes = np.asarray(_as_text(column).dictionary_encode().indices.fill_null(-1))
    return int((np.diff(codes) != 0).sum()) + 1 if len(codes) else 0


def _try(folder: Folder, proposal: Proposal) -> None:
    # Reading as proposed is the last piece of evidence.
    try:
        shape = FileFormatParams.model_validate({**proposal.format, "unreadable": "quarantine"})
        file = BarFile(folder, proposal.name, shape)
        wanted = {ticker for ticker in file.tickers() if ticker is not None}
        rows = file.read(wanted, strays=True)
    except (SourceError, ValueError) as error:
        proposal.doubts.append(f"it cannot be read as proposed: {str(error).splitlines()[0][:300]}")
        return
    broken = rows.num_rows - rows["unreadable"].null_count
    proposal.rows = (rows.num_rows, broken)
    days = rows["session_date"].drop_null()
    if len(days):
        proposal.evidence.append(
            f"read as proposed: {rows.num_rows} rows from {pc.min(days)} to {pc.max(days)}, "
            f"{broken} with cells that cannot be read"
        )


def _as_text(column: pa.Array) -> pa.Array:
    # Lists, groups and bytes that are no text give nothing.
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column), pa.string())


def _pattern_of(name: str) -> str:
    # Signs that a glob would read otherwise stand for themselves in brackets.
    return re.sub(r"([\[*?{])", r"[\1]", name)
