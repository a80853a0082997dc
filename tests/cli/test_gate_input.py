"""Every way a file of returns is unusable: exit 2, naming ticker, arm, date and the act."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from transfergate import cli


def frame_of(ticker: str) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 260
    common = rng.normal(0, 0.01, n)
    parts = []
    for arm, mean, n_seeds in (("finetuned", 6.0, 3), ("scratch", 0.3, 3), ("buy_hold", 0.0, 1)):
        for seed in range(n_seeds):
            own = common + rng.normal(0, 0.003, n) + 0.01 * mean / np.sqrt(252)
            parts.append(
                pd.DataFrame(
                    {
                        "ticker": ticker,
                        "session_date": pd.bdate_range("2015-01-01", periods=n).astype(str),
                        "fold": np.arange(n) // 65,
                        "arm": arm,
                        "seed": seed if n_seeds > 1 else np.nan,
                        "net_return": own,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path / "var"))


def cell(column, value, row=7):
    def spoil(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return spoil


def rows(keep):
    return lambda frame: frame[keep(frame)]


def finetuned(frame):
    return (frame["arm"] == "finetuned") & (frame["seed"] == 0)


def seeds_from_one(frame):
    return frame.assign(seed=frame["seed"] + 1)


DAY = "2015-01-12"
IN_A_CSV = {
    "no control": (rows(lambda f: f["arm"] != "scratch"), ["BAD", "scratch is missing"]),
    "no fine-tuned": (rows(lambda f: f["arm"] != "finetuned"), ["BAD", "finetuned is missing"]),
    "only a reference": (rows(lambda f: f["arm"] == "buy_hold"), ["BAD", "buy_hold"]),
    "a control of other dates": (
        rows(lambda f: (f["arm"] != "scratch") | (f["session_date"] != DAY)),
        ["BAD scratch", DAY, "same sessions"],
    ),
    "a reference of other dates": (
        rows(lambda f: (f["arm"] != "buy_hold") | (f["session_date"] != DAY)),
        ["BAD buy_hold", DAY],
    ),
    "a seed of other dates": (
        rows(lambda f: ~finetuned(f) | (f["session_date"] != DAY)),
        ["BAD finetuned", DAY],
    ),
    "nan": (cell("net_return", np.nan), ["BAD finetuned", DAY, "repair"]),
    "infinite": (cell("net_return", "inf"), ["BAD finetuned", DAY, "repair"]),
    "below -1": (cell("net_return", -1.5), ["BAD finetuned", DAY, "-1.5", "fractions"]),
    "words for a return": (cell("net_return", "lots"), ["BAD finetuned", DAY, "'lots'", "row"]),
    "per cent": (cell("net_return", "1.5%"), ["BAD finetuned", DAY, "'1.5%'"]),
    "no date": (cell("session_date", ""), ["BAD finetuned", "session_date", "YYYY-MM-DD"]),
    "an impossible date": (cell("session_date", "2015-02-30"), ["BAD finetuned", "'2015-02-30'"]),
    "a date the other way": (cell("session_date", "01/12/2015"), ["BAD finetuned", "01/12/2015"]),
    "no fold": (cell("fold", ""), ["BAD finetuned", DAY, "fold"]),
    "half a fold": (cell("fold", 0.5), ["BAD finetuned", DAY, "fold", "0.5"]),
    "two folds on one date": (
        lambda f: pd.concat([f, f[finetuned(f)].iloc[7:8].assign(fold=3)]),
        ["BAD finetuned", DAY, "two"],
    ),
    "folds that differ between arms": (
        lambda f: f.assign(fold=f["fold"] + (f["arm"] == "scratch") * (f["session_date"] == DAY)),
        ["BAD scratch", DAY, "folds"],
    ),
    "no arm": (cell("arm", ""), ["BAD", "unknown arm"]),
    "another arm": (cell("arm", "best_of"), ["BAD best_of", "unknown arm", "rename"]),
    "duplicate keys": (
        lambda f: pd.concat([f, f.iloc[7:9]]),
        ["BAD finetuned", DAY, "2015-01-13", "remove"],
    ),
    "unpaired seeds": (
        rows(lambda f: (f["arm"] != "scratch") | (f["seed"] < 2)),
        ["BAD", "not paired", "3", "2"],
    ),
    "seeds from 1": (seeds_from_one, ["BAD finetuned", "[1, 2, 3]", "0 to K-1"]),
    "a seed left out": (
        rows(lambda f: (f["arm"] == "buy_hold") | (f["seed"] != 1)),
        ["BAD finetuned", "[0, 2]"],
    ),
    "words for a seed": (cell("seed", "first"), ["BAD finetuned", DAY, "seed", "'first'"]),
    "two seeds of a reference": (
        lambda f: pd.concat([f, f[f["arm"] == "buy_hold"].assign(seed=1)]),
        ["BAD buy_hold", "[0, 1]"],
    ),
}


@pytest.mark.parametrize("name", IN_A_CSV)
def test_a_bad_ticker_is_named_and_nothing_is_judged_unless_told_to_go_on(tmp_path, capsys, name):
    spoil, words = IN_A_CSV[name]
    file = tmp_path / "r.csv"
    both = pd.concat([frame_of("GOOD"), spoil(frame_of("BAD"))])
    both.to_csv(file, index=False)
    assert cli.main(["gate", str(file), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "GateInputError"
    assert [word for word in words if word not in error["message"]] == []
    assert "GOOD" not in error["message"]
    page = tmp_path / "page.html"
    going_on = ["gate", str(file), "--json", "--keep-going", "--html", str(page)]
    assert cli.main(going_on) == 0
    reports = json.loads(capsys.readouterr().out)["tickers"]
    assert reports["GOOD"]["verdict"] == "PROMOTE"
    assert reports["BAD"]["verdict"] == "INVALID"
    assert all(word in reports["BAD"]["reasons"][0] for word in words)
    assert "BAD" in page.read_text()


def as_type(column, kind):
    def spoil(table):
        index = table.column_names.index(column)
        return table.set_column(index, column, kind(table[column].combine_chunks()))

    return spoil


IN_A_PARQUET = {
    "numbers as text": (as_type("net_return", lambda c: c.cast(pa.string())), ["net_return"]),
    "yes and no": (as_type("net_return", lambda c: pa.array([True] * len(c))), ["net_return"]),
    "times of day": (
        as_type("session_date", lambda c: pa.array(range(len(c)), pa.time64("us"))),
        ["session_date"],
    ),
    "numbers for dates": (
        as_type("session_date", lambda c: pa.array(range(len(c)))),
        ["session_date"],
    ),
    "numbers for tickers": (as_type("ticker", lambda c: pa.array(range(len(c)))), ["ticker"]),
    "seeds as text": (as_type("seed", lambda c: c.cast(pa.string())), ["seed"]),
    "no ticker in a row": (
        as_type("ticker", lambda c: pa.array([None, *c.to_pylist()[1:]])),
        ["ticker", "row 1"],
    ),
    "no rows": (lambda t: t.slice(0, 0), ["no rows"]),
    "no column": (lambda t: t.drop_columns(["arm"]), ["arm", "missing"]),
}


@pytest.mark.parametrize("name", IN_A_PARQUET)
def test_a_file_of_the_wrong_shape_is_refused_as_a_whole(tmp_path, capsys, name):
    spoil, words = IN_A_PARQUET[name]
    file = tmp_path / "r.parquet"
    table = spoil(pa.Table.from_pandas(frame_of("ALL"), preserve_index=False))
    pa.parquet.write_table(table, file)
    for options in ([], ["--keep-going"]):
        assert cli.main(["gate", str(file), "--json", *options]) == 2
        message = json.loads(capsys.readouterr().out)["error"]["message"]
        assert all(word in message for word in [*words, "r.parquet"])


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_stand_for_the_date_where_they_were_taken(tmp_path, capsys, zone):
    frame = frame_of("ALL")
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame["session_date"] = pd.to_datetime(frame["session_date"]).dt.tz_localize(zone)
    frame.to_csv(tmp_path / "zoned.csv", index=False)
    frame.to_parquet(tmp_path / "zoned.parquet")
    outputs = []
    for name in ("plain.csv", "zoned.csv", "zoned.parquet"):
        assert cli.main(["gate", name, "--json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0]["tickers"]["ALL"]["first_session"] == "2015-01-01"
    assert outputs[0] == outputs[1] == outputs[2]


def test_rows_of_two_recipes_are_not_one_record(tmp_path, capsys):
    frame = pd.concat([frame_of("GOOD"), frame_of("MIXED")], ignore_index=True)
    frame["recipe"] = "r1"
    frame.to_csv(tmp_path / "one.csv", index=False)
    late = (frame["ticker"] == "MIXED") & (frame["fold"] == frame["fold"].max())
    frame.loc[late, "recipe"] = "r2"
    frame.to_csv(tmp_path / "two.csv", index=False)
    assert cli.main(["gate", str(tmp_path / "one.csv"), "--json"]) == 0
    capsys.readouterr()
    assert cli.main(["gate", str(tmp_path / "two.csv"), "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "MIXED: rows of 2 recipes (r1, r2)" in message
    assert cli.main(["gate", str(tmp_path / "two.csv"), "--json", "--keep-going"]) == 0
    tickers = json.loads(capsys.readouterr().out)["tickers"]
    assert tickers["MIXED"]["verdict"] == "INVALID"
    assert tickers["GOOD"]["verdict"] != "INVALID"
