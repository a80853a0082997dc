"""From the bytes of a file to text in UTF-8: its kind, its container, its encoding."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib

import pyarrow as pa

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams

TEXT_ENDINGS = (".csv", ".txt", ".tsv", ".dat", ".asc", ".psv")
_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 20
_NO_TEXT = {
    b"PAR1": "Parquet: end its name in .parquet, or say kind = 'parquet' in its format",
    b"PK\x03\x04": "a zip or a spreadsheet: end a zip's name in .zip, save a spreadsheet as CSV",
    b"\x1f\x8b": "gzip: end its name in .gz",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old: save it as CSV",
    b"BZh": "bzip2: unpack it",
    b"\xfd7zXZ": "xz: unpack it",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it",
    b"7z\xbc\xaf": "7-Zip: unpack it",
    b"ARROW1": "Arrow: write it as Parquet",
    b"SQLite format 3": "a database: write its table as CSV or Parquet",
    b"\x89HDF": "HDF5: write its table as CSV or Parquet",
    b"%PDF": "PDF: it holds no table that can be read",
}


def kind_of(url: str, shape: FileFormatParams) -> str:
    """``parquet`` or ``delimited``, as its format or the end of its name says.

    Raises:
        SourceError: If neither does.
    """
    if shape.kind != "auto":
        return "parquet" if shape.kind == "parquet" else "delimited"
    name = url.lower()
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    if name.removesuffix(".gz").removesuffix(".zip").endswith(TEXT_ENDINGS) or name.endswith(
        ".zip"
    ):
        return "delimited"
    raise SourceError(
        f"{url}: its name ends in none of {', '.join(TEXT_ENDINGS)} (also .gz, .zip), .parquet: "
        f"say kind = 'delimited' or 'parquet' in its format, or name it in the source's ignore"
    )


def unpacked(url: str, content: pa.Buffer) -> bytes | memoryview:
    """Content without its container; a zip must hold one file."""
    name = url.lower()
    try:
        if name.endswith(".gz"):
            return gzip.decompress(memoryview(content))
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(memoryview(content))) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
                if len(members) != 1:
                    raise SourceError(
                        f"{url}: holds {len(members)} files "
                        f"({', '.join(info.filename for info in members[:3])}…), expected one: "
                        f"unpack it into the folder"
                    )
                return archive.read(members[0])
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise broken(url, "gzip" if name.endswith(".gz") else "zip", error) from error
    return memoryview(content)


def as_utf8(url: str, content: bytes | memoryview, declared: str) -> bytes:
    """Text in UTF-8 without a byte-order mark, whatever it was.

    Args:
        url: Of the file.
        content: Out of its container.
        declared: Its encoding.

    Raises:
        SourceError: If the bytes are of another encoding, or no text; says which it may be.
    """
    encoding = declared.lower().replace("_", "-")
    raw = bytes(content)
    refuse_no_text(url, raw)
    if encoding in ("utf-8", "utf8", "utf-8-sig"):
        encoding = "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line, found = raw.count(b"\n", 0, start) + 1, raw[start : start + 8]
        raise SourceError(
            f"{url}: line {line}: bytes {found!r} are not {declared}: declare the file's encoding "
            f"in its format, for example encoding = {marked(raw) or 'cp1252'!r}"
        ) from error
    _refuse_marks(url, raw, text, declared)
    if encoding != "utf-8":
        raw = text.encode()
    # Files that were put together may have a mark each.
    while raw.startswith(_BOM):
        raw = raw.removeprefix(_BOM)
    return raw


def marked(raw: bytes) -> str | None:
    """The encoding that a byte-order mark gives a file away as; None without one."""
    if raw[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-8" if raw.startswith(_BOM) else None


def refuse_no_text(url: str, raw: bytes) -> None:
    """Refuse what begins as no text does.

    Raises:
        SourceError: Says what it is.
    """
    found = next((advice for sign, advice in _NO_TEXT.items() if raw.startswith(sign)), None)
    if found:
        raise SourceError(f"{url}: expected text, found {found}, or name it in the source's ignore")


def _refuse_marks(url: str, raw: bytes, text: str, declared: str) -> None:
    head = text[:_HEAD]
    if "ï»¿" in head:
        raise SourceError(
            f"{url}: read as {declared} the file begins with 'ï»¿', which is a "
            f"sign of another encoding: declare encoding = 'utf-8' in its format"
        )
    if "\x00" not in head:
        return
    # Text of two bytes a character has its NULs in every other place, and there alone.
    even, odd = raw[:_HEAD:2].count(0), raw[1:_HEAD:2].count(0)
    if max(even, odd) > 8 * min(even, odd) and max(even, odd) > len(head) / 4:
        wide = "utf-16-le" if odd > even else "utf-16-be"
        advice = f"every other byte is NUL, a sign of UTF-16: declare encoding = {wide!r}"
    else:
        advice = (
            "no encoding of text has such a byte: it is no text file, or was damaged on its "
            "way; fetch it again, or take the bytes out: tr -d '\\000' < FILE > CLEAN"
        )
    line = text.count("\n", 0, text.index("\x00")) + 1
    raise SourceError(f"{url}: line {line} holds a NUL byte; {advice}")


def broken(url: str, kind: str, error: Exception) -> SourceError:
    """The refusal of a file whose container or rows cannot be read."""
    return SourceError(
        f"{url}: cannot be read as {kind} ({str(error).splitlines()[0]}), it may be cut short: "
        f"replace the file, or name it in the source's ignore"
    )
