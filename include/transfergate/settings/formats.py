"""Settings of one file format: everything that a reader must be told, because it never guesses."""

from __future__ import annotations

import codecs
import re
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from transfergate.settings.base import Params

PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = (
    "ticker", "session_date", *PRICE_COLUMNS, "volume", "adj_close", "currency",
)  # fmt: skip
"""What a bar is made of; a column of that name in the file needs no declaration."""
EXTRA_COLUMNS = ("split_ratio", "dividend", "symbol")
"""Read only where declared: they go to the tables of actions and symbols."""
UNUSED_COLUMNS = ("adj_open", "adj_high", "adj_low", "adj_volume")
"""May be declared, so that a format describes its file whole; bars take ``adj_close`` alone."""
EPOCHS = {"epoch:s": 1, "epoch:ms": 10**3, "epoch:us": 10**6, "epoch:ns": 10**9}
DATE_DIRECTIVES = "YymdbBaAHMSfzIp"
Reading = str | tuple[str, ...]


class FileFormatParams(Params):
    """How the files of one kind are read; a folder may hold several kinds.

    Columns are found by their name in the header, or by their position, counted from 1. Nothing is
    guessed: a cell that does not fit what is declared here is refused, or set apart.
    """

    pattern: str = Field(
        "*",
        min_length=1,
        description="which files: a glob on the name, or, with a slash, on the path below the root "
        "(* stays within a folder, ** crosses folders)",
    )
    kind: Literal["auto", "delimited", "parquet", "lean"] = Field(
        "auto", description="auto: by the ending of the name; lean: QuantConnect's zips"
    )
    columns: dict[str, str | int] = Field(
        default_factory=dict,
        description="contract column -> its name in the header, or its position from 1",
    )
    header: bool = Field(True, description="whether the first line names the columns")
    skip_lines: int = Field(0, ge=0, le=1000, description="lines before the header or first row")
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str | None = Field('"', min_length=1, max_length=1)
    encoding: str = Field("utf-8", description="a byte-order mark of UTF-8 needs no declaration")
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'", "_"] | None = None
    grouping: Literal["thousands", "indian"] = Field(
        "thousands", description="12,345,678 or 1,23,45,678"
    )
    suffixes: dict[str, float] = Field(
        default_factory=dict, description='units behind a number: { K = 1e3, M = 1e6, "%" = 0.01 }'
    )
    signs: tuple[str, ...] = Field((), description="signs beside a number to leave out, like $")
    scientific: bool = Field(
        False, description="1.94E+03 is exact, not what a spreadsheet left of a number"
    )
    price_unit: float = Field(1.0, gt=0.0, description="what 1 in a price column is worth")
    volume_unit: float = Field(1.0, gt=0.0, description="what 1 in the volume column is worth")
    null_words: tuple[str, ...] = Field(
        ("null", "NULL", "NaN", "nan", "NA", "N/A"),
        description="words that mean that there is no number; an empty cell always does",
    )
    date_format: Reading | None = Field(
        None,
        description="strptime format, or a list of which each value must fit exactly one reading; "
        "iso, epoch:s|ms|us|ns; None: %Y-%m-%d or typed",
    )
    date_from: Literal["column", "path"] = "column"
    time_zone: str | None = Field(
        None, description="time zone of the exchange; stamps with an offset are converted to it"
    )
    time_of_day: Literal["midnight", "any"] = Field(
        "midnight", description="any: a time behind the date is left out whatever it is"
    )
    order: Literal["oldest_first", "newest_first"] | None = Field(
        None, description="declared, it is checked; it never changes what is read"
    )
    ticker_from: Literal["column", "filename", "constant", "path"] = "column"
    ticker: str | None = Field(None, description="the ticker, with ticker_from = constant")
    path_pattern: str | None = Field(
        None, description="expression with a group (?P<ticker>...) and/or (?P<date>...) on the path"
    )
    ticker_case: Literal["keep", "upper"] = "keep"
    currency: str | None = Field(None, description="currency of all rows, where no column has it")
    unreadable: Literal["refuse", "quarantine"] = Field(
        "refuse",
        description="a cell that cannot be read: refuse the file, or let the row travel to "
        "quarantine with the cell's text",
    )

    @property
    def date_formats(self) -> tuple[str, ...]:
        """The declared readings of a date."""
        given = self.date_format or ("%Y-%m-%d",)
        return (given,) if isinstance(given, str) else tuple(given)

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str | int]) -> dict[str, str | int]:
        known = (*BAR_COLUMNS, *EXTRA_COLUMNS, *UNUSED_COLUMNS)
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(
                f"{', '.join(unknown)} is no column of a bar; expected names among "
                f"{', '.join(known)} on the left, those of the file on the right"
            )
        if low := [name for name, column in value.items() if isinstance(column, int) if column < 1]:
            raise ValueError(f"positions are counted from 1; correct {', '.join(low)}")
        return value

    @field_validator("date_format")
    @classmethod
    def _known_directives(cls, value: Reading | None) -> Reading | None:
        given = (value,) if isinstance(value, str) else value or ()
        for reading in given:
            if reading in EPOCHS or reading == "iso":
                continue
            found = re.findall(r"%(.?)", reading)
            if unknown := [f"%{d}" for d in found if d not in DATE_DIRECTIVES and d != "%"]:
                raise ValueError(
                    f"{reading!r}: {', '.join(unknown)} cannot be read; known are "
                    f"{', '.join('%' + d for d in DATE_DIRECTIVES)}, iso and {', '.join(EPOCHS)}"
                )
            year, month = set(found) & {"Y", "y"}, set(found) & {"m", "b", "B"}
            if len(year) != 1 or len(month) != 1 or "d" not in found:
                raise ValueError(f"{reading!r} lacks a year, month or day, or has one twice")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
            "a".encode(value)
        except (LookupError, UnicodeError) as error:
            raise ValueError(f"{value!r} is no encoding; for example utf-8, cp1252") from error
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        try:
            return ZoneInfo(value).key if value else None
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone; such as America/New_York") from error

    @model_validator(mode="after")
    def _consistent(self) -> FileFormatParams:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; one of them is not")
        if not self.header and (named := [v for v in self.columns.values() if isinstance(v, str)]):
            raise ValueError(f"without a header columns have positions, not names ({named})")
        if (self.ticker_from == "constant") != (self.ticker is not None):
            raise ValueError("ticker and ticker_from = 'constant' go together; give both")
        try:
            groups = set(re.compile(self.path_pattern or "").groupindex)
        except re.error as error:
            raise ValueError(f"path_pattern {self.path_pattern!r}: {error}") from error
        for name, source in (("ticker", self.ticker_from), ("date", self.date_from)):
            if source == "path" and name not in groups:
                raise ValueError(f"{name}_from = 'path' needs path_pattern with (?P<{name}>...)")
        return self
