import numpy as np
import pyarrow as pa
import pytest

from transfergate.evaluation.regimes import Market
from transfergate.reporting import series


def table(rows_of_arm, ticker="TGT", start="2020-01-01", fold=10, **extra):
    """A long table; values of shape (K, T) per arm."""
    parts = []
    for arm, values in rows_of_arm.items():
        values = np.atleast_2d(values)
        k, t = values.shape
        columns = {
            "ticker": [ticker] * (k * t),
            "session_date": np.tile(np.datetime64(start) + np.arange(t), k),
            "fold": np.tile(np.arange(t) // fold, k),
            "arm": [arm] * (k * t),
            "seed": np.repeat(np.arange(k), t),
            "net_return": values.ravel(),
        }
        parts.append(pa.table(columns | {name: v[arm].ravel() for name, v in extra.items()}))
    return pa.concat_tables(parts)


@pytest.fixture
def both():
    rng = np.random.default_rng(2)
    return {arm: rng.normal(0, 0.01, (3, 30)) for arm in ("finetuned", "scratch")}


def test_seeds_are_averaged_whatever_the_order_of_rows(both):
    shuffled = table(both).take(np.random.default_rng(1).permutation(180))
    found = series.arm_series(pa.concat_tables([shuffled, table(both, "AAA")]))
    assert list(found) == ["AAA", "TGT"]
    for arms in found.values():
        for arm, item in arms.items():
            np.testing.assert_array_equal(item.by_seed, both[arm])
            np.testing.assert_allclose(item.net_return, both[arm].mean(axis=0))


def test_references_without_a_seed_and_dictionaries_are_read(both):
    rows = table(both | {"zero_shot": both["scratch"][0]})
    nulls = pa.array([None] * rows.num_rows, pa.int64())
    single = rows.filter(np.array(rows["arm"].to_pylist()) == "zero_shot")
    single = single.set_column(4, "seed", nulls[: single.num_rows])
    single = single.set_column(3, "arm", single["arm"].dictionary_encode())
    item = series.arm_series(single)["TGT"]["zero_shot"]
    np.testing.assert_array_equal(item.net_return, both["scratch"][0])


def test_arms_that_cannot_be_shown_are_left_out(both):
    both["scratch"][1, 4] = np.nan
    uneven = table({"champion": both["finetuned"]}).slice(0, 89)
    rows = pa.concat_tables([table(both), uneven, table({"odd": both["finetuned"]})])
    assert list(series.arm_series(rows)["TGT"]) == ["finetuned"]
    assert series.arm_series(rows.slice(0, 0)) == {}


def test_collapsed_seeds_are_counted_by_fold_and_over_the_record(both):
    both["finetuned"][0] = 0.0
    both["finetuned"][1, 10:20] = 0.0
    found = series.describe(table(both))[1]["TGT"]["flat_seeds"]
    assert found["finetuned"] == {
        "fold_seeds": 9,
        "flat_fold_seeds": 4,
        "seeds": 3,
        "flat_seeds": 1,
    }
    assert found["scratch"]["flat_fold_seeds"] == 0


def test_positions_and_turnover_are_used_where_recorded(both):
    ones = {arm: np.ones((3, 30)) for arm in both}
    found = series.describe(table(both, position=ones, turnover=ones))[1]["TGT"]["performance"]
    assert found["finetuned"]["n_transactions"] == 3.0  # one in each fold
    assert found["finetuned"]["annualised_turnover"] == 252.0
    bare = series.describe(table(both))[1]["TGT"]["performance"]
    assert bare["finetuned"]["n_transactions"] is None


def test_regimes_come_from_the_market_given_else_from_buy_and_hold(both):
    days = np.datetime64("2019-01-01") + np.arange(500)
    market = Market("an index", days, np.random.default_rng(1).normal(0, 0.01, 500))
    given = series.describe(table(both), market)[1]["TGT"]["regimes"]
    assert (given["market"], given["unlabelled_sessions"]) == ("an index", 0)
    held = series.describe(table(both | {"buy_hold": both["scratch"][0]}))[1]["TGT"]["regimes"]
    assert (held["market"], held["unlabelled_sessions"]) == ("the ticker's own buy-and-hold", 30)
    assert series.describe(table(both))[1]["TGT"]["regimes"]["market"] is None
