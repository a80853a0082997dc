"""The command: one JSON object on standard output, readable text otherwise, honest exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from transfergate import cli, steps
from transfergate.errors import BarsRejected


def returns_frame(edge=3.0, ticker="TGT", n=300):
    rng = np.random.default_rng(5)
    common = rng.normal(0, 0.01, n)
    frames = []
    for arm, mean, n_seeds in (("finetuned", edge, 3), ("scratch", 0.3, 3), ("buy_hold", 0.0, 1)):
        own = rng.normal(0, 0.003, n)
        for seed in range(n_seeds):
            noise = rng.normal(0, 0.001, n)
            frames.append(
                pd.DataFrame(
                    {
                        "ticker": ticker,
                        "session_date": pd.bdate_range("2015-01-01", periods=n).date,
                        "fold": np.arange(n) // 63,
                        "arm": arm,
                        "seed": seed,
                        "net_return": common + own + noise + 0.01 * mean / np.sqrt(252),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("TRANSFERGATE_GATE__EVIDENCE", "ticker")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_gate_prints_one_json_object(tmp_path, capsys, suffix):
    file = tmp_path / f"returns.{suffix}"
    frame = returns_frame()
    frame.to_parquet(file) if suffix == "parquet" else frame.to_csv(file, index=False)
    assert cli.main(["gate", str(file), "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result.keys() == {"config", "tickers", "pool"}
    report = result["tickers"]["TGT"]
    assert report["verdict"] == "PROMOTE"
    assert (
        report["performance"]["finetuned"]["sortino"] > report["performance"]["scratch"]["sortino"]
    )
    assert {row["by"] for row in report["regimes"]["slices"]} == {"volatility", "trend", "year"}
    assert report["flat_seeds"]["scratch"]["flat_fold_seeds"] == 0
    assert err == ""


def test_gate_prints_a_table_and_writes_a_page(tmp_path, capsys):
    returns_frame().to_parquet(tmp_path / "r.parquet")
    page = tmp_path / "out" / "page.html"
    assert cli.main(["gate", str(tmp_path / "r.parquet"), "--html", str(page)]) == 0
    assert "TGT  PROMOTE" in capsys.readouterr().out
    assert "<svg" in page.read_text()


@pytest.mark.parametrize("form", ["toml", "json"])
def test_gate_takes_a_configuration_file(tmp_path, capsys, form):
    returns_frame().to_parquet(tmp_path / "r.parquet")
    config = tmp_path / f"gate.{form}"
    config.write_text(
        "[gate]\nmin_oos_sessions = 400\n" if form == "toml" else '{"min_oos_sessions": 400}'
    )
    arguments = ["gate", str(tmp_path / "r.parquet"), "--config", str(config), "--json"]
    assert cli.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["config"]["min_oos_sessions"] == 400
    assert result["tickers"]["TGT"]["verdict"] == "INCONCLUSIVE"
    config.write_text("[gate]\nalpha = 1\n" if form == "toml" else '{"alpha": 1}')
    assert cli.main(arguments) == 2


def spoil_types(frame):
    frame["net_return"] = frame["net_return"].astype(object)
    frame.loc[7, "net_return"] = "lots"
    return frame


def spoil_nan(frame):
    frame.loc[7, "net_return"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_nan, ["TGT finetuned", "2015-01-12"]),
        (spoil_types, ["lots"]),
        (lambda frame: frame[:0], ["no rows"]),
        (lambda frame: frame.drop(columns="fold"), ["fold"]),
        (lambda frame: frame[frame["arm"] != "scratch"], ["TGT", "scratch"]),
    ],
)
def test_unusable_files_exit_2_and_say_why(tmp_path, capsys, spoil, words):
    spoil(returns_frame()).to_csv(tmp_path / "r.csv", index=False)
    assert cli.main(["gate", str(tmp_path / "r.csv"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "GateInputError"
    assert all(word in err for word in words)


@pytest.mark.parametrize("content", [None, b"", b"\x00\x01not parquet"])
def test_files_that_are_none_exit_2(tmp_path, capsys, content):
    file = tmp_path / "r.parquet"
    if content is not None:
        file.write_bytes(content)
    assert cli.main(["gate", str(file)]) == 2
    assert "r.parquet" in capsys.readouterr().err


def test_keep_going_judges_the_rest(tmp_path, capsys):
    bad = returns_frame(ticker="BAD")
    frame = pd.concat([returns_frame(), bad[bad["arm"] != "scratch"]])
    frame.to_parquet(tmp_path / "r.parquet")
    assert cli.main(["gate", str(tmp_path / "r.parquet"), "--json"]) == 2
    capsys.readouterr()
    assert cli.main(["gate", str(tmp_path / "r.parquet"), "--json", "--keep-going"]) == 0
    tickers = json.loads(capsys.readouterr().out)["tickers"]
    assert (tickers["BAD"]["verdict"], tickers["TGT"]["verdict"]) == ("INVALID", "PROMOTE")


def test_status_of_nothing(capsys):
    assert cli.main(["status", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tickers"] == {}
    assert cli.main(["status"]) == 0
    assert "none yet" in capsys.readouterr().out


def test_rollback_without_a_champion_is_refused(capsys):
    assert cli.main(["rollback", "GOOG", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "RegistryError"
    assert "GOOG" in err


def test_promote_of_an_unknown_version_is_refused(capsys):
    assert cli.main(["promote", "GOOG", "v9", "--why", "test"]) == 2
    assert "v9" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_without_anything_to_start_from_the_next_act_is_named(capsys, command):
    pytest.importorskip("torch")
    assert cli.main([command, "--source", "sample"]) == 2
    assert "run `transfergate" in capsys.readouterr().err


def test_refusals_exit_2_and_failures_1(monkeypatch, capsys):
    def refuse(settings, source):
        raise BarsRejected("batch b1: no rows")

    def crash(settings, source):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(steps, "build_features", refuse, raising=False)
    assert cli.main(["features", "--json"]) == 2
    monkeypatch.setattr(steps, "build_features", crash, raising=False)
    assert cli.main(["features"]) == 1
    assert "disk on fire" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fly"], "fly"),
        (["gate"], "FILE"),
        (["decide", "GOOG", "--as-of", "yesterday"], "yesterday"),
    ],
)
def test_unusable_command_lines_exit_2_with_json_too(capsys, arguments, word):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert "--help" in err
    assert cli.main([*arguments, "--json"]) == 2
    assert word in json.loads(capsys.readouterr().out)["error"]["message"]


def test_status_of_an_unknown_ticker_is_refused(capsys):
    assert cli.main(["status", "GOGO", "--json"]) == 2
    assert "GOGO" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_page_that_cannot_be_written_is_refused(tmp_path, capsys):
    returns_frame().to_parquet(tmp_path / "r.parquet")
    assert cli.main(["gate", str(tmp_path / "r.parquet"), "--html", str(tmp_path), "--json"]) == 2
    assert "--html" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_without_a_champion_flat_serves_on_no_date(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    candidate = tmp_path / "artefacts/candidates/GOOG/c1/bundle.json"
    candidate.parent.mkdir(parents=True)
    candidate.write_text("{}")
    assert cli.main(["decide", "GOOG"]) == 0
    assert capsys.readouterr().out == "GOOG: target position +0.00 (no champion: flat serves)\n"
    assert cli.main(["decide", "GOOGL"]) == 2
    assert "GOOGL: unknown" in capsys.readouterr().err


def test_overruling_the_gate_asks_for_force_and_a_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    candidate = tmp_path / "artefacts/candidates/GOOG/c1/bundle.json"
    candidate.parent.mkdir(parents=True)
    candidate.write_text("{}")
    assert cli.main(["promote", "GOOG", "c1"]) == 2
    assert "never judged" in capsys.readouterr().err
    assert cli.main(["promote", "GOOG", "c1", "--force"]) == 2
    assert "--why" in capsys.readouterr().err
    assert not (tmp_path / "artefacts/champions").exists()


def test_unusable_settings_exit_2(monkeypatch, capsys):
    monkeypatch.setenv("TRANSFERGATE_GATE__ALPHA_PROMOTE", "7")
    assert cli.main(["status"]) == 2
    assert "alpha_promote" in capsys.readouterr().err


def test_the_gate_on_a_file_needs_none_of_the_heavy_libraries(tmp_path):
    returns_frame().to_parquet(tmp_path / "r.parquet")
    code = (
        "import os, sys; from transfergate import cli; "
        f"status = cli.main(['gate', {str(tmp_path / 'r.parquet')!r}, '--json']); "
        "heavy = {'torch', 'duckdb', 'great_expectations', 'airflow', 'mlflow'}; "
        "heavy &= set(sys.modules); "
        "print(*heavy, file=sys.stderr); sys.stdout.flush(); os._exit(status or bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tickers"]["TGT"]["verdict"] == "PROMOTE"


def test_an_unknown_source_is_refused_and_the_known_ones_are_named(capsys):
    assert cli.main(["features", "--source", "moon", "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "'moon'" in message
    assert "files, sample, synthetic" in message


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["bars", "AAPL", "--as-of", ""], "empty"),
        (["instruments", "--as-of", " "], "empty"),
        (["quarantine", "list", "--limit", "-1"], "no count"),
    ],
)
def test_options_that_say_nothing_are_refused(capsys, arguments, word):
    assert cli.main(arguments) == 2
    assert word in capsys.readouterr().err


def test_the_process_ends_with_the_status_and_a_closed_pipe_is_no_failure():
    command = f"{sys.executable} -m transfergate.cli --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    refused = [sys.executable, "-m", "transfergate.cli", "gate", "/no/such/file", "--json"]
    done = subprocess.run(refused, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error" in json.loads(done.stdout)
