import numpy as np
import pytest

from transfergate.evaluation.transactions import merged, transactions


def trips(net, position, fold=None):
    fold = np.zeros(len(net), dtype=np.int64) if fold is None else np.asarray(fold)
    return transactions(np.asarray(net, float), np.asarray(position, float), fold)


def test_a_round_trip_compounds_from_entry_to_the_session_that_closes_it():
    found = trips([0.0, 0.1, 0.1, -0.01, 0.0], [0, 1, 1, 0, 0])
    assert found.results == pytest.approx([1.1 * 1.1 * 0.99 - 1])


def test_another_size_on_the_same_side_is_the_same_transaction():
    assert len(trips([0.1, 0.1, 0.0], [0.5, 1, 0]).results) == 1


def test_a_turn_ends_one_and_begins_another():
    found = trips([0.1, -0.2, 0.05], [1, -1, -1])
    assert found.results == pytest.approx([0.1, 0.8 * 1.05 - 1])


def test_a_fold_ends_what_is_held():
    held = trips([0.1, 0.1, 0.2], [1, 1, 1], [0, 0, 1])
    assert held.results == pytest.approx([0.21, 0.2])
    assert trips([0.1, 0.0], [1, 0], [0, 1]).results == pytest.approx([0.1])


def test_profits_and_losses_are_averaged_apart():
    found = merged([trips([0.1, 0, -0.2, 0], [1, 0, 1, 0]), trips([0.3, 0], [1, 0])])
    assert found.per_seed == 1.5
    assert found.average_profit == pytest.approx(0.2)
    assert found.average_loss == pytest.approx(-0.2)


@pytest.mark.parametrize(("net", "position"), [([], []), ([0.0, 0.0], [0, 0])])
def test_nothing_held_is_no_transaction(net, position):
    found = trips(net, position)
    assert (found.per_seed, found.average_profit, found.average_loss) == (0.0, None, None)


def test_ruin_is_a_total_loss():
    assert trips([-1.5, 0.3], [1, 1]).results.tolist() == [-1.0]


def test_results_of_all_transactions_compound_to_the_equity():
    rng = np.random.default_rng(3)
    position = rng.choice([-1.0, 0.0, 0.0, 1.0], 400)
    net = np.where((position != 0) | (np.roll(position, 1) != 0), rng.normal(0, 0.01, 400), 0.0)
    net[0] = 0.01 * position[0]
    found = trips(net, position)
    assert np.prod(1 + found.results) == pytest.approx(np.prod(1 + net))
