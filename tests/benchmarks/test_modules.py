"""Every benchmark of training runs in seconds with --quick and ends with the promised object."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"ours", "peer", "peer_name", "ratio"}
EXPECTED = {
    "encoders": ("encoder_", None),
    "market": ("env_steps_per_s_finrl_1core", "finrl"),
    "learning": ("mlp_sharpe_at_the_end", None),
    "recurrent": ("lstm128_sharpe_at_the_end", None),
    "transformer": ("transformer_", None),
    "stacking": ("mlp_64_64_320_fits_cpu_s", None),
    "fits": ("mlp_64_64_wall_s", None),
    "roofline": ("gflops_lstm128_training_1core", None),
}


def has(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_quick_run_ends_with_one_object_of_figures(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", "--quick"]
    command += ["--cores", "1"] * (name not in {"stacking", "fits"})
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    wanted, package = EXPECTED[name]
    found = [row for figure, row in figures.items() if figure.startswith(wanted)]
    assert found
    for figure, row in figures.items():
        assert set(row) >= KEYS, figure
        values = [row[key] for key in ("ours", "peer", "ratio") if row[key] is not None]
        assert all(math.isfinite(value) for value in values), figure
        if row["peer"] is None:
            assert row["peer_name"] == "none" or row["note"], f"{figure}: no peer and no reason"
    if package and has(package):
        assert found[0]["ratio"] == pytest.approx(found[0]["ours"] / found[0]["peer"])
