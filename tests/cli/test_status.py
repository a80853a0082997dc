"""``transfergate status`` where a record is torn, gone, or of another version."""

from __future__ import annotations

import json

import pytest

from tests.made_records import chain
from transfergate import cli


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return chain(tmp_path / "artefacts")


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("evaluations/latest/AAA.json", b'{"evaluation_id'),
        ("evaluations/latest.json", b"[]"),
        ("evaluations/e1/verdicts.json", b"{"),
        ("evaluations/e1/verdicts.json", None),
        ("champions/AAA/000002.json", b'{"action": "promote"}'),
    ],
)
def test_a_broken_record_is_named_first_and_the_rest_is_said(made, capsys, key, content):
    made.store.discard(key)
    if content is not None:
        made.store.replace(key, content)
    assert cli.main(["status"]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("broken ")
    assert "/".join(key.split("/")[:2]).removesuffix(".json") in first
    assert str(made.store.root) in second
    assert any(line.startswith("BBB") for line in rest)
    assert cli.main(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["broken"]) == 1
    assert set(told["tickers"]) == {"AAA", "BBB"}


def test_of_a_broken_history_no_champion_is_said(made, capsys):
    made.store.discard("champions/AAA/000001.json")
    assert cli.main(["status", "AAA"]) == 0
    said = capsys.readouterr().out
    assert "AAA          history broken: nobody can say what serves" in said
    assert "restore the folder from a backup" in said
    assert "a2, by" not in said


def test_a_champion_is_not_moved_on_a_broken_history(made, capsys):
    made.store.replace("champions/AAA/000002.json", b"{")
    assert cli.main(["rollback", "AAA"]) == 2
    assert "champions/AAA/000002.json: it is no JSON" in capsys.readouterr().err
    assert [key for key in made.store.keys("champions/AAA")] == [
        "champions/AAA/000001.json",
        "champions/AAA/000002.json",
    ]
