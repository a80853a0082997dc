"""The audits find unequal budgets and foresight from what the runs recorded."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from transfergate.transfer import audits


def _record(fold: str, scored: tuple[str, str]) -> dict[str, Any]:
    arm = {
        "sessions": 504,
        "env_steps": 50_000,
        "updates": 100,
        "trained_models": 15,
        "n_seeds": 5,
        "n_choices": 3,
        "seeds": [1, 2, 3, 4, 5],
    }
    return {
        "fold": fold,
        "windows": {
            "train": ["2000-01-03", "2002-01-02"],
            "validation": ["2002-01-10", "2002-07-10"],
            "test": list(scored),
        },
        "scored": list(scored),
        "foundation_last_session": "2002-07-10",
        "arms": {"finetuned": arm, "scratch": copy.deepcopy(arm)},
    }


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return [
        _record("fold-1", ("2002-07-18", "2002-10-15")),
        _record("fold-2", ("2002-10-16", "2003-01-15")),
    ]


def test_equal_budgets_pass(records: list[dict[str, Any]]) -> None:
    audit = audits.budget_parity(records)
    assert audit["passed"] is True
    assert audit["figures"]["totals"]["updates"] == {"finetuned": 200, "scratch": 200}


@pytest.mark.parametrize("figure", audits.PARITY_FIGURES)
def test_any_unequal_figure_fails_and_is_named(records: list[dict[str, Any]], figure: str) -> None:
    records[1]["arms"]["scratch"][figure] += 1
    audit = audits.budget_parity(records)
    assert audit["passed"] is False
    assert audit["figures"]["mismatch"]["figure"] == figure
    assert audit["figures"]["mismatch"]["fold"] == "fold-2"


def test_offsetting_differences_do_not_cancel(records: list[dict[str, Any]]) -> None:
    records[0]["arms"]["scratch"]["updates"] += 1
    records[1]["arms"]["scratch"]["updates"] -= 1
    assert audits.budget_parity(records)["passed"] is False


def test_unpaired_seeds_fail(records: list[dict[str, Any]]) -> None:
    records[0]["arms"]["scratch"]["seeds"] = [1, 2, 3, 4, 6]
    assert audits.budget_parity(records)["passed"] is False


def test_clean_windows_pass_the_leakage_audit(records: list[dict[str, Any]]) -> None:
    assert audits.leakage(records, "GOOG", ["AAPL"])["passed"] is True


def test_target_among_sources_fails(records: list[dict[str, Any]]) -> None:
    assert audits.leakage(records, "GOOG", ["AAPL", "GOOG"])["passed"] is False


def test_foundation_that_saw_the_test_fails(records: list[dict[str, Any]]) -> None:
    records[0]["foundation_last_session"] = "2002-07-18"
    audit = audits.leakage(records, "GOOG", ["AAPL"])
    assert audit["passed"] is False
    assert "2002-07-18" in audit["figures"]["problems"][0]


def test_a_session_scored_in_two_folds_fails(records: list[dict[str, Any]]) -> None:
    records[1]["scored"] = list(records[0]["scored"])
    assert audits.leakage(records, "GOOG", ["AAPL"])["passed"] is False
