"""One suite for both kinds of artefact root."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transfergate.storage import ArtefactStore


@pytest.fixture(params=["folder", "bucket"])
def open_again(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], ArtefactStore]]:
    """Open one empty root as another process would: it remembers nothing of what was read."""
    if request.param == "folder":
        yield lambda: ArtefactStore(tmp_path / "artefacts")
        return
    put = request.getfixturevalue("put_object")
    bucket = f"b{uuid.uuid4().hex}"
    put(bucket)
    yield lambda: ArtefactStore(f"s3://{bucket}/team/artefacts", tmp_path / "cache")


@pytest.fixture
def store(open_again: Callable[[], ArtefactStore]) -> ArtefactStore:
    return open_again()
