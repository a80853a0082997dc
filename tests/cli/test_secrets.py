"""``transfergate secrets``: fresh, private, and never twice into one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from transfergate.cli import main
from transfergate.cli.secrets import draw

ROOT = Path(__file__).resolve().parents[2]


def test_it_writes_what_the_compose_file_wants_for_its_owner_alone(tmp_path, capsys):
    file = tmp_path / ".env"
    assert main(["secrets", "--cpu", "--training-workers", "3", "--file", str(file), "--json"]) == 0
    printed = capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines)
    assert (values["COMPOSE_PROFILES"], values["TRAINING_WORKERS"]) == ("cpu", "3")
    text = (ROOT / "docker-compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(values) - {"COMPOSE_PROFILES"}
    assert json.loads(printed)["names"] == list(values)
    drawn = [value for value in values.values() if len(value) > 3]
    assert not [value for value in drawn if value in printed]
    assert len(set(drawn)) == len(drawn)


def test_a_file_that_is_there_stays_as_it_is(tmp_path, capsys):
    file = tmp_path / ".env"
    file.write_text("POSTGRES_PASSWORD=in-use\n")
    assert main(["secrets", "--file", str(file)]) == 2
    assert file.read_text() == "POSTGRES_PASSWORD=in-use\n"
    assert "nothing was written" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["secrets", "--file", str(tmp_path / "away" / ".env")]) == 2
    assert "away" in capsys.readouterr().err


def test_keys_are_strong_and_differ_from_time_to_time():
    first, second = draw(), draw()
    assert not set(first.values()) & set(second.values())
    assert all(len(value) >= 44 for value in first.values())
    assert len(first["AIRFLOW_JWT_SECRET"]) >= 64
    assert all(re.fullmatch(r"[A-Za-z0-9_=-]+", value) for value in first.values())
