"""The page of benchmarks says who was compared, who was better, and which goals are missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.__main__ import joined, outcome, render


def page(**figures: Any) -> str:
    result = {"commands": ["python -m benchmarks.learning --json"], "figures": figures}
    result |= {"seconds": 3.2, "load": [0.1, 1.0], "when": "today"}
    return render({"learning": result}, "2 processors")


def row(ratio: float | None = 2.0, **more: Any) -> dict[str, Any]:
    return {"ours": 12345.6, "peer": 0.5, "peer_name": "somebody else", "ratio": ratio, **more}


def test_a_figure_stands_beside_its_peer():
    text = page(steps_per_s=row(), cpu_s={**row(None), "peer": None, "peer_name": "none"})
    assert "| steps_per_s | 12,346 | 0.5 | 2 |  |  | somebody else |" in text
    assert "| cpu_s | 12,346 |  |  |  |  | none |" in text
    assert "python -m benchmarks.learning --json" in text


def test_goals_are_met_or_missed_by_a_share_and_listed():
    assert outcome(row(2.0, goal=2.0)) == "met"
    assert outcome(row(2.0, goal=8.0)) == "missed: 25% of it"
    text = page(env_steps_per_s_gym_anytrading=row(2.0, goal=8.0))
    assert "25% of it (ratio 2, goal 8). Its step does less" in text
    assert "Goals missed" not in page(fast=row(2.0, goal=2.0))


def test_a_censored_peer_is_a_lower_bound_and_never_a_miss():
    assert outcome(row(2.0, goal=8.0, censored=True)) == "open"
    text = page(s_to_optimum=row(2.0, goal=8.0, censored=True))
    assert "| > 0.5 | > 2 | 8 | open |" in text
    assert "Goals missed" not in text


def test_a_failed_benchmark_is_said():
    failed = {"commands": ["c"], "figures": None, "seconds": 1, "load": [0], "when": "x"}
    text = render({"gate": failed}, "m")
    assert "It failed" in text


def test_a_benchmark_may_run_in_parts_of_which_the_newer_counts():
    old = {"commands": ["a", "b"], "figures": {"x": row(1.0), "y": row(1.0)}, "seconds": 1}
    new = {"commands": ["b"], "figures": {"y": row(2.0)}, "seconds": 2, "load": [0]}
    both = joined(old, new)
    assert both["commands"] == ["a", "b"]
    assert [both["figures"][name]["ratio"] for name in ("x", "y")] == [1.0, 2.0]
    assert both["seconds"] == 3
    assert joined({**old, "figures": None}, new)["figures"] == new["figures"]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A page of its own, which ``--render`` writes from results below ``kept`` beside it."""
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(command, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--render"])
    (tmp_path / "page.md").write_text("as it was")
    return tmp_path / "page.md"


def test_the_page_keeps_what_the_repository_says_about_how_it_was_measured(rendered: Path):
    result = {"commands": ["c"], "figures": {"x": row()}, "seconds": 1, "load": [0], "when": "x"}
    (rendered.parent / "kept").mkdir()
    (rendered.parent / "kept" / "gate.json").write_text(json.dumps(result))
    command.main()
    note = (Path(command.__file__).parent / "note.md").read_text().strip()
    assert note in rendered.read_text()
    assert note in (command.ROOT / "docs" / "benchmarks.md").read_text()


def test_a_page_is_not_replaced_by_an_empty_one(rendered: Path):
    with pytest.raises(SystemExit, match="nothing is kept"):
        command.main()
    assert rendered.read_text() == "as it was"
