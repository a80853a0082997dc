from __future__ import annotations

from pathlib import Path

import pytest

from transfergate.errors import SettingsError, SourceError
from transfergate.settings import QualityParams, SourceParams
from transfergate.sources.description import described, read_description

TEXT = """
calendar = "XBOM"
currency = "INR"
[quality]
max_bad_row_frac = 0.05
max_staleness_sessions = 9
[universe]
index = "^NSEI"
[[formats]]
pattern = "*.csv"
date_format = "%d%m%y"
"""


def at(folder: Path, **given: object) -> SourceParams:
    return SourceParams(kind="files", root=str(folder), **given)


def test_a_folder_describes_itself_and_explicit_settings_win(tmp_path: Path):
    (tmp_path / "source.toml").write_text(TEXT)
    given = at(tmp_path, currency="USD", quality=QualityParams(max_bad_row_frac=0.2))
    params = described(given, read_description(given))
    assert (params.calendar, params.currency, params.universe.index) == ("XBOM", "USD", "^NSEI")
    assert (params.quality.max_bad_row_frac, params.quality.max_staleness_sessions) == (0.2, 9)
    assert params.formats[0].date_formats == ("%d%m%y",)
    assert params.root == str(tmp_path)


def test_a_folder_without_one_changes_nothing(tmp_path: Path):
    params = at(tmp_path)
    assert read_description(params) == {}
    assert described(params, {}) is params


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calendar = \n", r"source\.toml: not valid TOML: .*line 1"),
        ("calender = 'XBOM'", r"source\.toml: calender: Extra inputs are not permitted"),
        ("[quality]\nmax_bad_row_frac = 2", r"quality\.max_bad_row_frac: .*less than or equal"),
        ("root = '/etc'", r"source\.toml: root: a folder does not say where it is"),
        ("[[formats]]\ncolumns = {clse = 'x'}", r"formats\.0\.columns: .*clse is no column"),
        ("[[formats]]\ndate_format = '%d %Q %Y'", r"formats\.0\.date_format.*%Q cannot be read"),
    ],
)
def test_a_description_that_cannot_be_used_names_file_and_field(tmp_path, text, message):
    (tmp_path / "source.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_description(at(tmp_path))


def test_a_mark_of_an_editor_is_no_part_of_it(tmp_path: Path):
    (tmp_path / "source.toml").write_bytes(b'\xef\xbb\xbfcalendar = "XBOM"\n')
    assert read_description(at(tmp_path)) == {"calendar": "XBOM"}


def test_a_format_that_is_wrong_is_not_told_of_twice(tmp_path: Path):
    (tmp_path / "source.toml").write_text("[[formats]]\nencoding = 'rot13'\n")
    with pytest.raises(SettingsError, match=r"'rot13' is no encoding") as refused:
        read_description(at(tmp_path))
    assert "at least 1 item" not in str(refused.value)


def test_a_description_that_is_no_file_is_not_passed_over(tmp_path: Path):
    (tmp_path / "source.toml").symlink_to("elsewhere.toml")
    with pytest.raises(SourceError, match=r"source\.toml: is a .*leads nowhere, expected a file"):
        read_description(at(tmp_path))
