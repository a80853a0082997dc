"""The calibrate command: a table or one JSON object, and an exit status that says what it found."""

from __future__ import annotations

import json

import pytest

from transfergate import cli
from transfergate.cli import calibrate


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    monkeypatch.setattr(calibrate, "QUICK_COHORTS", 2)


def test_every_limit_stands_beside_what_was_found(capsys):
    status = cli.main(["calibrate", "--quick", "--json"])
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert err == ""
    assert status == (0 if result["passed"] else 1)
    assert result["n_cohorts"] == 2
    assert {"null", "positive", "negative", "negative_weak"} <= result["worlds"].keys()
    text = calibrate.render(result)
    for check in result["checks"]:
        assert f"{check['world']}, {check['evidence']}: {check['verdict']}" in text
    for column in ("promote", "zero-shot apart", "no guards", "reject", "naive rule"):
        assert column in text
    assert 'zero_shot_guard = "point"' in text


def test_a_miss_is_status_1_and_said(capsys, monkeypatch):
    monkeypatch.setenv("TRANSFERGATE_GATE__POSTERIOR_PROMOTE", "0.9999")
    monkeypatch.setenv("TRANSFERGATE_GATE__ALPHA_PROMOTE", "0.0001")
    assert cli.main(["calibrate", "--quick"]) == 1
    out = capsys.readouterr().out
    assert "LIMITS MISSED" in out
    assert "positive, ticker: PROMOTE, zero-shot apart >= 0.8" in out


def test_quick_and_training_are_two_calibrations(capsys):
    assert cli.main(["calibrate", "--quick", "--training"]) == 2
    assert "not allowed with" in capsys.readouterr().err
