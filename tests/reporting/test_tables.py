"""What the tables of a report show of the recorded figures."""

from transfergate.reporting.tables import budgets


def test_seeds_that_stayed_flat_stand_beside_the_budgets():
    totals = {
        "n_seeds": {"finetuned": 40, "scratch": 40},
        "collapsed": {"finetuned": 3, "scratch": 17},
        "flat_in_test": {"finetuned": 1, "scratch": 11},
    }
    parity = {"passed": True, "figures": {"totals": totals}}
    shown = budgets({"audits": {"budget_parity": parity}, "delta_sharpe": 0.1})
    for words, arms in (
        ("seeds flat throughout validation", ("3", "17")),
        ("seeds flat throughout test", ("1", "11")),
    ):
        row = next(part for part in shown.split("<tr") if words in part)
        assert all(f">{count}<" in row for count in arms)


def test_the_rows_do_not_stand_in_the_order_of_the_record():
    totals = {name: {"finetuned": 1, "scratch": 1} for name in ("sessions", "later", "updates")}
    audits = {"leakage": {"passed": True},
              "budget_parity": {"passed": True, "figures": {"totals": totals}}}  # fmt: skip
    turned = {"budget_parity": {"passed": True,
                                "figures": {"totals": dict(reversed(totals.items()))}},
              "leakage": {"passed": True}}  # fmt: skip
    shown, again = (budgets({"audits": one, "delta_sharpe": 0.1}) for one in (audits, turned))
    assert shown == again
    assert shown.index("gradient updates") < shown.index("training sessions") < shown.index("later")
