"""Read the feature files, with the number of earlier bars that each declares to need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfergate.errors import SnapshotError
from transfergate.storage import content_hash

KEYS = ("ticker", "session_date")
_SHARED = ("int_adjusted_bars", "int_market_sums", "int_index_returns", "int_bars")
_OPTIONAL = ("int_running_sums", "int_smoothers")
# Columns of the index in int_bars and int_running_sums, or an asterisk that may stand for them.
_INDEX_COLUMNS = re.compile(r"\bindex_|\bproducts\b|\*\s*(,|from|exclude)", re.IGNORECASE)
_WARM_UP = re.compile(r"^--\s*warm_up:\s*(\d{1,4})\s*$", re.MULTILINE)


@dataclass(frozen=True)
class FeatureSql:
    """The SQL that a run of features consists of, read once.

    Attributes:
        statements: Path below its folder -> text, in the order of execution.
        names: Feature files, in the order of the settings.
        warm_ups: Feature file -> how many bars before a row its features depend on.
    """

    statements: dict[str, str]
    names: tuple[str, ...]
    warm_ups: dict[str, int]

    @property
    def hash(self) -> str:
        """Hash of every statement and of the features' order: other SQL, other features."""
        return content_hash(*(part for item in self.statements.items() for part in item))

    @property
    def warm_up(self) -> int:
        """Bars before a row that its features depend on."""
        return max(self.warm_ups.values(), default=0)

    @property
    def relates(self) -> bool:
        """Whether a feature reads the return of its ticker's index."""
        return any(_INDEX_COLUMNS.search(self.text(name)) for name in self.names)

    @property
    def batch_relations(self) -> tuple[str, ...]:
        """Relations to build for each batch of tickers, in order."""
        used = tuple(name for name in _OPTIONAL if f"intermediate/{name}.sql" in self.statements)
        return ("int_bars", *used, *self.names)

    def text(self, relation: str) -> str:
        """The statement of one relation."""
        return next(text for path, text in self.statements.items() if Path(path).stem == relation)


def read_feature_sql(
    sql_dir: Path, names: Sequence[str], extra_dir: Path | None = None
) -> FeatureSql:
    """Read the statements behind the named features.

    Args:
        sql_dir: The folder ``sql/``.
        names: Features: files below ``marts/features``, or below ``extra_dir``.
        extra_dir: Folder of further feature files, which may not repeat a name.

    Raises:
        SnapshotError: If a file is missing, there twice, or declares no warm-up; says which
            features there are.
    """
    folders = [sql_dir / "marts/features", *([extra_dir] if extra_dir else [])]
    features = {name: _read_feature(name, folders) for name in names}
    used = [
        name
        for name in _OPTIONAL
        if any(re.search(rf"\b{name}\b", text) for text in features.values())
    ]
    paths = [f"intermediate/{name}.sql" for name in ("macros", *_SHARED, *used)]
    statements = {path: (sql_dir / path).read_text(encoding="utf-8") for path in paths}
    statements |= {f"marts/features/{name}.sql": text for name, text in features.items()}
    # The definition of the scores; zscores.py computes the same bits.
    scores = "marts/feature_z_scores.sql"
    statements[scores] = (sql_dir / scores).read_text(encoding="utf-8")
    warm_ups = {name: _warm_up(name, text) for name, text in features.items()}
    return FeatureSql(statements, tuple(names), warm_ups)


def _read_feature(name: str, folders: Sequence[Path]) -> str:
    files = [folder / f"{name}.sql" for folder in folders] if name.isidentifier() else []
    found = [file for file in files if file.is_file()]
    if len(found) == 1:
        return found[0].read_text(encoding="utf-8")
    there = sorted(file.stem for folder in folders for file in folder.glob("*.sql"))
    act = "rename one" if found else "add the file or correct the setting"
    raise SnapshotError(
        f"features.names: {name!r} is {'twice' if found else 'no file'} in "
        f"{' and '.join(str(folder) for folder in folders)}; features there are: "
        f"{', '.join(there) or 'none'}: {act}"
    )


def _warm_up(name: str, text: str) -> int:
    found = _WARM_UP.findall(text)
    if len(found) != 1:
        raise SnapshotError(
            f"marts/features/{name}.sql: found {len(found)} comment lines '-- warm_up: N', "
            f"expected one: N is how many bars before a row its value depends on, 0 for none "
            f"(20 for a 21-bar window)"
        )
    return int(found[0])
