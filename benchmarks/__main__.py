"""All benchmarks, one process each, into ``docs/benchmarks.md``: ``python -m benchmarks``.

A benchmark is a module of this folder whose last line of output is one JSON object:
figure -> ``{"ours", "peer", "peer_name", "ratio"}`` and, where there is one, ``"goal"`` (least
ratio wanted), ``"censored"`` (peer and ratio are lower bounds) and ``"note"``; a ratio above 1
means that ours is better. Results are kept under ``var/benchmarks``, so that one benchmark can run
again alone (``--only``) and the page still shows all; with arguments of its own (``--with``) its
figures join those that are kept, so that a long one can be split. That folder is local: a fresh
clone has no results, and its page shows what ran there. How the page's figures were measured is
said in ``benchmarks/note.md``, which is part of the page and of the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._harness import installed
from benchmarks._reasons import reason

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / "var" / "benchmarks"
NOTE = ROOT / "benchmarks" / "note.md"
ORDER = (
    "market",
    "learning",
    "recurrent",
    "transformer",
    "encoders",
    "stacking",
    "fits",
    "dag",
    "roofline",
    "gate",
    "features",
    "ingest",
)
"""Of the page; others that lie in the folder come after these."""
QUICK = frozenset(ORDER) - {"dag", "gate", "features", "ingest"}
"""Those with ``--quick``; the others need no peers that train, and run in minutes."""
PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "stable-baselines3",
    "sb3-contrib",
    "finrl",
    "gym-anytrading",
    "duckdb",
    "pandas",
    "polars",
    "arch",
)
HEAD = """# Benchmarks

Written by `make bench`; do not edit. A ratio above 1 means that ours is better. Each table stands
under the command that makes it alone; what is measured, and each peer's settings, stand in that
module's first lines and in the column of peers. Medians of the runs that the command asks for
(`--rounds`, three by default), ours and peers in turn; one core pinned is measured in CPU seconds
(wall seconds where a peer uses processes), two cores in wall seconds. `>` marks a peer that was not
there when its time was over."""


def run(name: str, arguments: list[str]) -> dict[str, Any]:
    """Figures of one benchmark, with when, how long and how busy the machine was."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *arguments]
    load, begin = os.getloadavg()[0], time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": str(os.cpu_count())}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    return {
        "commands": [" ".join(["python", *command[1:]])],
        "figures": dict(json.loads(lines[-1])) if done.returncode == 0 and lines else None,
        "seconds": time.monotonic() - begin,
        "load": [load, os.getloadavg()[0]],
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def joined(kept: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Figures of two runs of one benchmark: the newer ones count, all commands are named."""
    return new | {
        "commands": list(dict.fromkeys([*kept["commands"], *new["commands"]])),
        "figures": (kept["figures"] or {}) | (new["figures"] or {}),
        "seconds": kept["seconds"] + new["seconds"],
    }


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def outcome(row: dict[str, Any]) -> str:
    """Met, or missed and by how much; nothing without a goal or without a peer."""
    goal, ratio = row.get("goal"), row["ratio"]
    if goal is None:
        return ""
    if ratio is None:
        return "not measured"
    if ratio >= goal:
        return "met"
    return "open" if row.get("censored") else f"missed: {ratio / goal:.0%} of it"


def table(figures: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| figure | ours | peer | ratio | goal | outcome | peer is |", "|---" * 7 + "|"]
    for figure, row in figures.items():
        mark = "> " if row.get("censored") else ""
        peer, ratio = number(row["peer"]), number(row["ratio"])
        note = f"; {row['note']}" if row.get("note") else ""
        lines.append(
            f"| {figure} | {number(row['ours'])} | {mark * bool(peer)}{peer} "
            f"| {mark * bool(ratio)}{ratio} | {number(row.get('goal'))} | {outcome(row)} "
            f"| {row['peer_name']}{note} |"
        )
    return lines


def render(results: dict[str, dict[str, Any]], machine: str, note: str = "") -> str:
    lines = [*HEAD.splitlines(), "", f"Machine: {machine}.", *(["", note] if note else [])]
    missed = []
    for name, result in results.items():
        figures = result["figures"]
        load = " and ".join(f"{value:.1f}" for value in result["load"])
        lines += ["", f"## {name}", "", *(f"`{command}`  " for command in result["commands"])]
        lines += [
            f"took {result['seconds']:.0f} s on {result['when']}; load {load} before and after.",
            "",
        ]
        if figures is None:
            lines.append("It failed: no figures. Run it alone to see why.")
            continue
        lines += table(figures)
        missed += [
            f"- `{figure}`: {outcome(row).removeprefix('missed: ')} (ratio {number(row['ratio'])}, "
            f"goal {number(row['goal'])}). {reason(figure)}".rstrip()
            for figure, row in figures.items()
            if outcome(row).startswith("missed")
        ]
    if missed:
        lines += ["", "## Goals missed, and why", "", *missed]
    return "\n".join(lines) + "\n"


def machine() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name)))
    return (
        f"{len(names)} cores of {names[0] if names else platform.machine()}, Python "
        f"{platform.python_version()}, {versions}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    found = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
    present = [name for name in ORDER if name in found]
    present += [name for name in found if name not in ORDER]
    parser.add_argument("--only", nargs="+", choices=present, default=present)
    parser.add_argument("--quick", action="store_true", help="a smoke run: writes no page")
    parser.add_argument("--with", dest="more", default="", help="arguments of the benchmark itself")
    parser.add_argument(
        "--note", type=Path, default=NOTE, help="text for the page's head: how it was measured"
    )
    parser.add_argument("--render", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    failed = []
    for name in [] if options.render else options.only:
        if options.quick and name not in QUICK:
            continue
        result = run(name, [*shlex.split(options.more), *["--quick"] * options.quick])
        sys.stdout.write(f"{name}: {result['seconds']:.0f} s\n")
        if result["figures"] is None:
            failed.append(name)
        if not options.quick:
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / f"{name}.json"
            if options.more and kept.exists():
                result = joined(json.loads(kept.read_text()), result)
            kept.write_text(json.dumps(result))
    if not options.quick:
        files = {name: KEPT / f"{name}.json" for name in present}
        results = {name: json.loads(p.read_text()) for name, p in files.items() if p.exists()}
        if not results:
            raise SystemExit(f"nothing is kept below {KEPT}; {PAGE} stays as it is")
        PAGE.write_text(render(results, machine(), options.note.read_text().strip()))
        sys.stdout.write(f"{PAGE}\n")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; run each alone to see why")


if __name__ == "__main__":
    main()
