"""The trigger forms refuse what the steps could not use."""

from __future__ import annotations

import pytest

GOOD = {
    "ingest_daily_bars": [
        {},
        {"source": "synthetic"},
        {"source": "yahoo"},
        {"source": "files", "data": "/data/bars", "tickers": ["BRK-B", "^GSPC", "GC=F"]},
        {"start": "2012-01-03", "end": "2012-12-31"},
        {"tickers": None, "start": None, "end": None, "data": None},
    ],
    "build_features": [{}, {"source": "sample"}, {"source": None}],
    "pretrain_foundation": [
        {},
        {"snapshot_id": "0123456789abcdef", "sources": ["AAPL"], "targets": ["GOOG"]},
    ],
    "finetune_tickers": [
        {},
        {"foundation_version": "f-1", "targets": ["FB"]},
        {"approval": "human"},
    ],
    "roll_back_champion": [{"ticker": "BRK-B", "why": "slippage", "champion": "0123456789abcdef"}],
}
BAD = {
    "ingest_daily_bars": [
        {"source": "bloomberg"},
        {"source": None},
        {"tickers": "AAPL"},
        {"tickers": []},
        {"tickers": ["AAPL", "AAPL"]},
        {"tickers": ["../etc/passwd"]},
        {"tickers": ["a b"]},
        {"start": "03.01.2012"},
        {"end": "2012-13-01"},
        {"data": ""},
    ],
    "build_features": [{"source": "all"}],
    "pretrain_foundation": [{"snapshot_id": "../x"}, {"sources": "AAPL"}, {"targets": [1]}],
    "finetune_tickers": [{"foundation_version": ""}, {"targets": ["$"]}, {"approval": "perhaps"}],
    "roll_back_champion": [
        {},
        {"ticker": "FB"},
        {"ticker": "../FB", "why": "slippage"},
        {"ticker": "FB", "why": ""},
        {"ticker": "FB", "why": "slippage", "champion": ""},
    ],
}


def cases(table):
    return [(dag_id, given) for dag_id, rows in table.items() for given in rows]


@pytest.mark.parametrize(("dag_id", "given"), cases(GOOD))
def test_usable_parameters_are_accepted(dagbag, dag_id, given):
    params = dagbag.dags[dag_id].params
    assert {**params.dump(), **given} == {**_validated(params, given)}


@pytest.mark.parametrize(("dag_id", "given"), cases(BAD))
def test_unusable_parameters_are_refused(dagbag, dag_id, given):
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        _validated(dagbag.dags[dag_id].params, given)


def _validated(params, given):
    import copy

    fresh = copy.deepcopy(params)
    fresh.update(given)
    return fresh.validate()
