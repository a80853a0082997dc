"""Settings that cannot be used are refused by name, never half taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfergate import settings
from transfergate.errors import SettingsError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "transfergate.toml"
    monkeypatch.setenv("TRANSFERGATE_CONFIG", str(path))
    return path


def test_environment_goes_before_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[features]\nz_window = 120\n[market]\ncost_bps = 7.0\n")
    monkeypatch.setenv("TRANSFERGATE_FEATURES__Z_WINDOW", "90")
    loaded = settings.load()
    assert loaded.features.z_window == 90
    assert loaded.market.cost_bps == 7.0


def test_a_broken_file_is_named(config: Path) -> None:
    config.write_text("[features\nz_window = 120\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        settings.load()


def test_a_missing_file_is_refused(config: Path) -> None:
    with pytest.raises(SettingsError, match="no file"):
        settings.load()


def test_values_out_of_bounds_are_listed(config: Path) -> None:
    config.write_text("[features]\nz_window = 1\n[market]\npositions = [-1.0, 1.0]\n")
    with pytest.raises(SettingsError, match=r"(?s)features\.z_window.*flat"):
        settings.load()


def test_mlflows_own_variable_names_the_server_and_reading_changes_no_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    before = dict(os.environ)
    assert settings.load().mlflow_tracking_uri == "http://mlflow:5000"
    assert dict(os.environ) == before
    monkeypatch.setenv("TRANSFERGATE_MLFLOW_TRACKING_URI", "http://ours:5000")
    assert settings.load().mlflow_tracking_uri == "http://ours:5000"
