"""The command's input: refused before anything starts, or passed on unchanged."""

from __future__ import annotations

import json

import pytest

from transfergate import settings as settings_module
from transfergate.orchestration.retrain import (
    _parse,
    chain_environment,
    ingest_conf,
    main,
)
from transfergate.settings import Settings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "files", "--data", "/does/not/exist"], "no such folder"),
        (["--source", "files"], "needs a folder"),
        (["--sources", "AAPL,GOOG", "--targets", "GOOG"], "both source and target"),
        (["--targets", "GO OG"], "targets"),
    ],
)
def test_unusable_input_is_refused_before_anything_starts(arguments, words, capsys, monkeypatch):
    monkeypatch.setattr("transfergate.orchestration.retrain.interruptible", lambda: None)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_chosen_universe_reaches_the_tasks_settings(monkeypatch):
    given = Settings()
    options = _parse(["--targets", "IBM", "--sources", "AAPL,MSFT"])
    for name, value in chain_environment(given, options).items():
        monkeypatch.setenv(name, value)
    seen = settings_module.load()
    assert seen.source("sample").universe.targets == ("IBM",)
    assert seen.source("sample").universe.sources == ("AAPL", "MSFT")
    assert seen.source("sample").universe.index == given.source("sample").universe.index
    assert seen.source("synthetic").universe == given.source("synthetic").universe
    assert (seen.schedules.ingest, seen.schedules.retrain) == ("manual", "asset")
    assert seen.home == given.home.resolve()


def test_without_a_choice_the_universe_is_left_to_the_settings():
    environment = chain_environment(Settings(), _parse([]))
    assert not [name for name in environment if "UNIVERSE" in name]


def test_the_form_gets_what_was_asked_and_nothing_else(tmp_path):
    assert ingest_conf(_parse([])) == {"source": "sample"}
    asked = ["--source", "files", "--data", str(tmp_path), "--start", "2012-01-03"]
    conf = ingest_conf(_parse(asked))
    assert conf == {"source": "files", "data": str(tmp_path), "start": "2012-01-03"}
    assert json.loads(json.dumps(conf)) == conf
