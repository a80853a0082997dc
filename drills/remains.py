"""What an operation, or its interruption, left behind: facts, snapshots and other artefacts."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from transfergate.settings import Settings

State = dict[str, Any]

MOMENT = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?")


def state(settings: Settings) -> State:
    """Everything that counts, without moments in time.

    Returns:
        ``facts`` (a hash of the rows of each table, and how many batches do not add up), ``rows``
        (of all tables), ``snapshots`` that are whole, ``torn`` ones, and ``artefacts``: a hash of
        each object but Great Expectations' own pages, of which it is enough that they are there.
    """
    facts, rows = facts_of(settings)
    whole, torn = snapshots(settings.artefact_root / "snapshots")
    kept = _artefacts(settings.artefact_root)
    return {"facts": facts, "rows": rows, "snapshots": whole, "torn": torn, "artefacts": kept}


def facts_of(settings: Settings) -> tuple[dict[str, str], int]:
    """A hash of the rows of each table of the warehouse, and how many rows there are."""
    from transfergate.warehouse import open_warehouse

    facts, rows = {}, 0
    with open_warehouse(settings.warehouse_path, settings.sql_dir, 30.0) as conn:
        tables = conn.execute(
            "select table_name from duckdb_columns() where column_name = 'batch_id' "
            "and not internal and database_name = current_database() order by 1"
        ).fetchall()
        for (table,) in tables:
            names = [row[0] for row in conn.execute(f"describe {table}").fetchall()]
            kept = ", ".join(f'"{name}"' for name in names if name != "known_at")
            content = conn.execute(f"select {kept} from {table}").fetchall()
            lines = sorted(repr(row) for row in content)
            facts[table] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
            rows += len(content)
        conserved = "select count(*) from batches where received_rows != loaded_rows + "
        (bad,) = conn.execute(conserved + "quarantined_rows").fetchall()[0]
        facts["not conserved"] = str(bad)
    return facts, rows


def snapshots(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the snapshots that can be seen: whole ones, and torn ones."""
    whole, torn = [], []
    for path in sorted(folder.glob("*")):
        if path.name.startswith("."):
            continue
        manifest = path / "manifest.json"
        files = _files(json.loads(manifest.read_bytes())) if manifest.exists() else None
        fits = files is not None and all(
            (path / name).exists() and hashlib.sha256((path / name).read_bytes()).hexdigest() == sha
            for name, sha in files.items()
        )
        (whole if fits else torn).append(path.name)
    return whole, torn


def _files(manifest: dict[str, Any]) -> dict[str, str]:
    listed = [*manifest["files"].values(), manifest["recent"]]
    return {file["name"]: file["sha256"] for file in listed} | manifest["restart"]


def _artefacts(root: Path) -> dict[str, str]:
    kept = {}
    for path in sorted(root.rglob("*")):
        key = path.relative_to(root).as_posix()
        if not path.is_file() or "/.tmp-" in f"/{key}":
            continue
        content = b"" if "/gx/" in key else path.read_bytes()
        if path.suffix in (".json", ".html", ".csv"):
            content = MOMENT.sub(b"", content)
        kept[key] = hashlib.sha256(content).hexdigest()
    return kept
