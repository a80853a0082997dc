"""No pickle among the artefacts; that the code loads none is looked at in tests/test_house.py."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from pathlib import Path

import pytest

from transfergate.storage import open_store
from transfergate.transfer.bundles import weights_bytes

KINDS = {
    ".json": rb"[\[{]",
    ".gz": rb"\x1f\x8b",
    ".parquet": rb"PAR1",
    ".safetensors": rb"[\s\S]{8}\{",
    ".html": rb"\s*<",
    ".css": rb"", ".js": rb"", ".svg": rb"", ".png": rb"\x89PNG", ".ico": rb"",
    ".otf": rb"OTTO", ".csv": rb"",
}  # fmt: skip
PICKLE = re.compile(rb"\A\x80[\x02-\x05]")


def looks_pickled(content: bytes) -> bool:
    """Whether it is a pickle, or an archive of PyTorch or NumPy that holds one."""
    if PICKLE.match(content):
        return True
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.endswith(".pkl") or looks_pickled(archive.read(name))
                       for name in archive.namelist())  # fmt: skip
    return content.startswith(b"\x93NUMPY") and b"'|O'" in content[:200]


@pytest.mark.slow
def test_every_artefact_of_a_finished_chain_is_of_a_kind_that_runs_no_code(grown):
    settings, _ = grown
    store = open_store(settings)
    # Progress of trainings is deleted at their end: one that was killed is in test_killed.
    found = {}
    for key in store.keys(""):
        if "0rphan" in key:  # planted
            continue
        content = store.read(key)
        suffix = Path(key).suffix
        if key.startswith("work/"):
            suffix = ".safetensors" if content[8:9] == b"{" else ""
        assert suffix in KINDS, f"{key}: a kind that nobody has looked at"
        assert re.match(KINDS[suffix], content), f"{key} is not what its name says"
        assert not looks_pickled(content), key
        if suffix == ".gz":
            assert not looks_pickled(gzip.decompress(content))
        found.setdefault(suffix, key)
    assert {".json", ".parquet", ".safetensors", ".gz", ".html"} <= set(found)


def test_pickles_are_recognised():
    import pickle

    import numpy as np
    import torch

    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, buffer)
    assert looks_pickled(buffer.getvalue())
    assert looks_pickled(pickle.dumps({"w": 1}))
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    assert looks_pickled(buffer.getvalue())
    assert not looks_pickled(weights_bytes({"w": torch.zeros(2)}))
