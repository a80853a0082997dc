from __future__ import annotations

import re
import tomllib
from pathlib import Path

from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources.folder import matches

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text()


def test_every_option_is_described():
    missing = [name for name in FileFormatParams.model_fields if f"`{name}`" not in TEXT]
    assert missing == []


def test_the_examples_are_formats_and_fit_one_file_each():
    blocks = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    params = SourceParams(kind="files", **tomllib.loads("".join(blocks)))
    names = ("investing_mixed_x.csv", "nse_noheader_x_ABC.csv", "nsepy_x.csv", "daily/aapl.zip")
    for name in names:
        assert sum(matches(name, shape.pattern) for shape in params.formats) == 1
