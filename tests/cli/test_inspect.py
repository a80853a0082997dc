from __future__ import annotations

import json
import tomllib
from pathlib import Path

from transfergate.cli import main
from transfergate.settings import SourceParams

ROWS = "Datum;Open;High;Low;Close\n31.01.2020;1,5;2,5;0,5;1,5\n03.02.2020;1,5;2,5;0,5;1,5\n"


def test_inspect_proposes_a_source_toml_and_changes_nothing(tmp_path: Path, capsys):
    (tmp_path / "SAP.csv").write_text(ROWS.replace("Datum", "Date"))
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    described = SourceParams(kind="files", **tomllib.loads(found["source_toml"]))
    assert described.formats[0].decimal == ","
    assert (found["files"][0]["rows"], found["files"][0]["unreadable_rows"]) == (2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["SAP.csv"]


def test_the_text_is_toml_with_evidence_and_doubts_as_comments(tmp_path: Path, capsys):
    (tmp_path / "sap_daily_1.csv").write_text(ROWS)
    assert main(["inspect", str(tmp_path / "sap_daily_1.csv")]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["formats"][0]["pattern"] == "sap_daily_1.csv"
    assert "#   DOUBT: 'sap_daily_1' does not look like a ticker" in text


def test_a_missing_file_is_unusable_input(tmp_path: Path, capsys):
    assert main(["inspect", str(tmp_path / "none.csv"), "--json"]) == 2
    assert "not a folder" in json.loads(capsys.readouterr().out)["error"]["message"]
