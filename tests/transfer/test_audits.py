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
        "validations": 2,
        "parameters": 4_000,
        "seeds": [1, 2, 3, 4, 5],
        "network": "a1",
        "features": 12,
        "costs": [5.0, "next_open"],
        "last_session": "2002-01-02",
        "choice": 1,
        "validation_sharpe": [0.1, 0.4, -0.2],
    }
    counts = {"rows": 315, "not_finite": 0, "wrong_net": 0, "wrong_turnover": 0, "wrong_cost": 0}
    replayed = {"trained": 5, "scored": 5, "other_rows": 0}
    return {
        "fold": fold,
        "windows": {
            "train": ["2000-01-03", "2002-01-02"],
            "validation": ["2002-01-10", "2002-07-10"],
            "test": list(scored),
        },
        "scored": list(scored),
        "foundation_last_session": "2002-07-10",
        "seeds": [1, 2, 3, 4, 5],
        "arms": {"finetuned": arm, "scratch": copy.deepcopy(arm)},
        "accounting": {name: dict(counts) for name in ("finetuned", "scratch", "buy_hold")},
        "replayed": {name: dict(replayed) for name in ("finetuned", "scratch")},
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


@pytest.mark.parametrize("figure", [*audits.PARITY_FIGURES, *audits.PARITY_FACTS])
def test_what_was_not_recorded_is_no_parity(records: list[dict[str, Any]], figure: str) -> None:
    for arm in ("finetuned", "scratch"):
        del records[0]["arms"][arm][figure]
    audit = audits.budget_parity(records)
    assert audit["passed"] is False
    assert audit["figures"]["mismatch"]["figure"] == figure


@pytest.mark.parametrize(
    ("fact", "other"),
    [("network", "b2"), ("features", 13), ("costs", [0.0, "next_open"]), ("seeds", [1, 2, 3, 4])],
)
def test_arms_of_other_facts_fail_and_are_named(
    records: list[dict[str, Any]], fact: str, other: Any
) -> None:
    records[1]["arms"]["finetuned"][fact] = other
    audit = audits.budget_parity(records)
    assert audit["figures"]["mismatch"]["figure"] == fact
    assert audit["figures"]["mismatch"]["finetuned"] == other


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


def test_training_that_read_validation_fails(records: list[dict[str, Any]]) -> None:
    records[0]["arms"]["scratch"]["last_session"] = "2002-01-10"
    audit = audits.leakage(records, "GOOG", ["AAPL"])
    assert audit["passed"] is False
    assert "scratch" in audit["figures"]["problems"][0]


def test_sound_rows_pass_accounting_and_selection(records: list[dict[str, Any]]) -> None:
    assert audits.accounting(records)["passed"] is True
    assert audits.accounting(records)["figures"]["rows"] == 2 * 3 * 315
    assert audits.selection(records)["passed"] is True


def test_rows_that_do_not_add_up_fail_and_are_counted(records: list[dict[str, Any]]) -> None:
    records[1]["accounting"]["scratch"]["wrong_net"] = 7
    audit = audits.accounting(records)
    assert audit["passed"] is False
    assert audit["figures"]["problems"] == [{"fold": "fold-2", "arm": "scratch", "wrong_net": 7}]
    del records[0]["accounting"]
    assert audits.accounting(records)["figures"]["problems"][0]["not_recorded"] == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r["replayed"]["finetuned"].update(other_rows=63),
        lambda r: r.pop("replayed"),
        lambda r: r["arms"]["finetuned"].update(seeds=[1, 2, 3, 4, 9]),
        lambda r: r["arms"]["finetuned"].update(trained_models=30),
        lambda r: r["arms"]["scratch"].update(choice=0),
        lambda r: r["arms"]["scratch"].update(choice=None),
        lambda r: r["arms"]["scratch"].update(validation_sharpe=[-0.1, -0.4, -0.2]),
    ],
)
def test_what_was_chosen_after_the_test_fails_selection(
    records: list[dict[str, Any]], spoil: Any
) -> None:
    spoil(records[1])
    audit = audits.selection(records)
    assert audit["passed"] is False
    assert "fold-2" in audit["figures"]["problems"][0]


def test_flat_is_the_choice_where_none_is_positive(records: list[dict[str, Any]]) -> None:
    for arm in ("finetuned", "scratch"):
        records[0]["arms"][arm].update(choice=None, validation_sharpe=[-0.1, 0.0, -0.2])
    assert audits.selection(records)["passed"] is True


def test_the_choice_is_the_first_within_the_recorded_margin(records: list[dict[str, Any]]) -> None:
    for arm in ("finetuned", "scratch"):
        for record in records:
            record["arms"][arm].update(
                choice=0, validation_behind=[0.7, 0.0, 2.1], choice_margin=1.0
            )
    assert audits.selection(records)["passed"] is True
    assert audits.budget_parity(records)["passed"] is True
    records[0]["arms"]["scratch"]["choice"] = 1
    assert audits.selection(records)["passed"] is False, "the best is not what the rule asks for"


@pytest.mark.parametrize("margin", [0.0, None])
def test_a_margin_for_one_arm_alone_is_no_parity(
    records: list[dict[str, Any]], margin: float | None
) -> None:
    records[1]["arms"]["finetuned"]["choice_margin"] = 1.0
    if margin is not None:
        records[1]["arms"]["scratch"]["choice_margin"] = margin
    audit = audits.budget_parity(records)
    assert audit["passed"] is False
    assert audit["figures"]["mismatch"]["figure"] == "choice_margin"
