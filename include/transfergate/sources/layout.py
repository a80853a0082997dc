"""What the bytes of a text file say of their encoding, delimiter and header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from transfergate.settings import FileFormatParams
from transfergate.sources.content import marked
from transfergate.sources.guesses import guess_dates


def read_layout(
    options: dict[str, Any], evidence: list[str], doubts: list[str], raw: bytes
) -> FileFormatParams:
    """Find encoding, delimiter and header; they are added to options, evidence and doubts."""
    if raw.startswith(b"\xef\xbb\xbf"):
        evidence.append("begins with a byte-order mark of UTF-8: needs no declaration")
    encoding = marked(raw) or "utf-8"
    try:
        text = raw.decode(encoding).lstrip("\ufeff")
    except UnicodeError:
        encoding, text = "cp1252", raw.decode("cp1252", errors="replace")
        doubts.append("the bytes are not UTF-8; cp1252 is a guess: look at its names")
    if encoding != "utf-8":
        options["encoding"] = encoding
    widths = {mark: _widths(text, mark) for mark in (",", ";", "\t", "|")}
    usuals = {mark: max(set(w), key=w.count, default=0) for mark, w in widths.items()}
    shares = {mark: w.count(usuals[mark]) / max(len(w), 1) for mark, w in widths.items()}
    mark = max(widths, key=lambda m: (usuals[m] > 1, shares[m], usuals[m]))
    usual = usuals[mark]
    if mark != ",":
        options["delimiter"] = mark
    even = widths[mark].count(usual)
    evidence.append(
        f"{even} of {len(widths[mark])} first rows have {usual} cells with delimiter {mark!r}"
    )
    skipped, first = _beginning(text, mark, usual)
    if skipped:
        options["skip_lines"] = skipped
        evidence.append(
            f"{skipped} lines before the header, the first {text[:60].split(chr(10))[0]!r}"
        )
    if not _is_header(first):
        options["header"] = False
        evidence.append(f"no header: the first row is {', '.join(first)[:60]!r}")
    layout = ("encoding", "delimiter", "header", "skip_lines")
    given = {name: options[name] for name in layout if name in options}
    return FileFormatParams(**given, unreadable="quarantine", kind="delimited")


def _widths(text: str, mark: str) -> list[int]:
    rows = csv.reader(io.StringIO(text[:200_000], newline=""), delimiter=mark)
    found = [len(cells) for cells, _ in zip(rows, range(500), strict=False) if cells]
    # The last row of the piece may be cut.
    return found[:-1] if len(found) > 1 and len(text) > 200_000 else found


def _beginning(text: str, mark: str, usual: int) -> tuple[int, list[str]]:
    # Lines before the header, and its cells: a preamble has far fewer cells than the rows.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    before, first = 0, list[str]()
    for cells in reader:
        first = first or cells
        if len(cells) > max(1, usual // 2):
            preamble = before and len(cells) == usual and _is_header(cells)
            return (before, cells) if preamble and first is not cells else (0, first)
        before = reader.line_num
    return 0, first


def _is_header(cells: Sequence[str]) -> bool:
    named = [cell for cell in cells if re.search(r"[A-Za-z]", cell)]
    dated = guess_dates(pa.array(cells, pa.string())).share > 0
    return len(named) * 2 > len(cells) and not dated
