"""The trigger forms refuse what the steps could not use."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

GOOD = {
    "ingest_daily_bars": [
        {},
        {"source": "synthetic"},
        {"source": "yahoo"},
        {"source": "files", "data": "/data/bars", "tickers": ["BRK-B", "^GSPC", "GC=F"]},
        {"start": "2012-01-03", "end": "2012-12-31"},
        {"data": "s3://bucket/bars with spaces"},
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
    "roll_back_champion": [
        {"ticker": "BRK-B", "why": "slippage", "champion": "0123456789abcdef"},
        {"ticker": "FB", "why": "two\nlines", "champion": None},
    ],
    "prune_artefacts": [{}, {"act": "delete"}, {"what": "litter"}],
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
        {"tickers": ["AAPL\n"]},
        {"tickers": [f"T{i}" for i in range(10_001)]},
        {"start": 20120103},
        {"start": "0012-01-03"},
        {"start": "2012-01-03\n"},
        {"end": "tomorrow"},
        {"data": "/bars\x00"},
        {"data": "x" * 1001},
        {"start": "03.01.2012"},
        {"end": "2012-13-01"},
        {"data": ""},
    ],
    "build_features": [{"source": "all"}, {"source": ""}, {"source": ["sample"]}],
    "pretrain_foundation": [
        {"snapshot_id": "../x"},
        {"snapshot_id": "0123456789abcdef\n"},
        {"sources": "AAPL"},
        {"sources": []},
        {"targets": [1]},
    ],
    "finetune_tickers": [
        {"foundation_version": ""},
        {"foundation_version": "../f1"},
        {"targets": ["$"]},
        {"targets": ["GOOG", "GOOG"]},
        {"approval": "perhaps"},
        {"approval": None},
    ],
    "roll_back_champion": [
        {},
        {"ticker": "FB"},
        {"ticker": "../FB", "why": "slippage"},
        {"ticker": "FB", "why": ""},
        {"ticker": "FB", "why": "    "},
        {"ticker": "FB", "why": "w" * 501},
        {"ticker": ["FB"], "why": "slippage"},
        {"ticker": None, "why": "slippage"},
        {"ticker": "FB", "why": "slippage", "champion": "a b"},
        {"ticker": "FB", "why": "slippage", "champion": ""},
    ],
    "prune_artefacts": [
        {"act": "yes"},
        {"act": None},
        {"act": True},
        {"what": "champions"},
        {"what": ["all"]},
        {"what": None},
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


FIELDS = [
    ("ingest_daily_bars", ["source", "tickers", "start", "end", "data"]),
    ("build_features", ["source"]),
    ("pretrain_foundation", ["snapshot_id", "sources", "targets"]),
    ("finetune_tickers", ["foundation_version", "targets", "approval"]),
    ("roll_back_champion", ["ticker", "champion", "why"]),
    ("prune_artefacts", ["act", "what"]),
]


def test_every_field_of_a_form_refuses_some_nonsense_above(dagbag):
    assert {dag_id: list(dag.params) for dag_id, dag in dagbag.dags.items()} == dict(FIELDS)
    refused = {(dag_id, name) for dag_id, given in cases(BAD) for name in given}
    assert refused >= {(dag_id, name) for dag_id, names in FIELDS for name in names}


@pytest.mark.parametrize(
    ("dag_id", "name"), [(dag_id, name) for dag_id, names in FIELDS for name in names]
)
def test_a_field_says_what_it_is_and_has_a_type_and_a_bound(dagbag, dag_id, name):
    schema = dagbag.dags[dag_id].params.get_param(name).schema
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    assert set(kinds) <= {"string", "array", "null"}
    assert len(schema["title"]) >= 4
    assert schema["section"]
    assert schema["description_md"].endswith(".")
    assert schema["description_md"] != schema["title"]
    assert "`" not in schema["description_md"], "Airflow's box for code covers the lines around it"
    bounded = schema["items"] if "array" in kinds else schema
    assert "enum" in bounded or "pattern" in bounded
    assert "array" not in kinds or (schema["minItems"], schema["maxItems"]) == (1, 10_000)
    if "null" in kinds and "enum" not in schema:
        assert "Empty:" in schema["description_md"]


def test_enumerations_are_drop_downs_with_words_for_every_choice(dagbag):
    for dag_id, name in (
        ("ingest_daily_bars", "source"),
        ("build_features", "source"),
        ("finetune_tickers", "approval"),
        ("prune_artefacts", "act"),
        ("prune_artefacts", "what"),
    ):
        schema = dagbag.dags[dag_id].params.get_param(name).schema
        keys = {"null" if choice is None else choice for choice in schema["enum"]}
        assert set(schema["values_display"]) == keys


def test_a_key_that_the_form_does_not_have_is_refused_before_the_first_task(dagbag):
    for dag in dagbag.dags.values():
        for task in dag.tasks:
            hook = getattr(task, "_pre_execute_hook", None) or task.partial_kwargs["pre_execute"]
            context = {"dag": dag, "dag_run": SimpleNamespace(conf={"tickrs": ["AAPL"]})}
            with pytest.raises(ValueError, match="unknown parameters 'tickrs'"):
                hook(context)
            hook({"dag": dag, "dag_run": SimpleNamespace(conf=None)})
            hook({"dag": dag, "dag_run": SimpleNamespace(conf=dict.fromkeys(dag.params))})


def _validated(params, given):
    import copy

    fresh = copy.deepcopy(params)
    fresh.update(given)
    return fresh.validate()
