"""All benchmarks, one process each, into ``docs/benchmarks.md``: ``python -m benchmarks``.

A benchmark is a module of this folder whose last line of output is one JSON object:
figure -> ``{"ours", "peer", "peer_name", "ratio"}``; a ratio above 1 means that ours is better.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"


def run(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def render(results: dict[str, dict[str, Any]], machine: str) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. A ratio above 1 means that ours is better.",
        f"Machine: {machine}.",
    ]
    for name, figures in results.items():
        lines += ["", f"## {name}", "", f"`python -m benchmarks.{name} --json`", ""]
        lines += ["| figure | ours | peer | ratio | peer is |", "|---|---|---|---|---|"]
        lines += [
            f"| {figure} | {number(row['ours'])} | {number(row['peer'])} "
            f"| {number(row['ratio'])} | {row['peer_name']} |"
            for figure, row in figures.items()
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
    machine = (
        f"{os.cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}, "
        f"torch {version('torch')}, DuckDB {version('duckdb')}"
    )
    PAGE.write_text(render({name: run(name) for name in names}, machine))
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
