"""The whole chain with its artefacts in an object store: the same keys, the same bytes."""

from __future__ import annotations

import json
from typing import Any

from transfergate import steps
from transfergate.settings import Settings
from transfergate.storage import open_store


def _objects(settings: Settings) -> dict[str, bytes]:
    """What is kept, but for the rendered pages; without moments and where it lies."""
    store = open_store(settings)
    keys = [key for key in store.keys("") if not key.startswith("data_docs/")]
    return {key: _timeless(key, store.read(key)) for key in keys}


def _timeless(key: str, content: bytes) -> bytes:
    if key.endswith("/origin.json"):
        return b"when and by which run"
    if not key.endswith(".json"):
        return content
    return json.dumps(_without_moments(json.loads(content)), sort_keys=True).encode()


def _without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        moments = ("known_at", "as_of", "when", "seconds")
        return {k: _without_moments(v) for k, v in value.items() if not k.endswith(moments)}
    return [_without_moments(v) for v in value] if isinstance(value, list) else value


def test_the_chain_makes_the_same_in_a_bucket_as_in_a_folder(
    tiny_settings, bars, run_chain, put_object
):
    put_object("chain")
    made = {}
    for name, root in (("folder", None), ("bucket", "s3://chain/artefacts")):
        settings = tiny_settings(name, bars, artefacts=root)
        made[name] = (settings, run_chain(settings))
    (here, in_folder), (there, in_bucket) = made["folder"], made["bucket"]
    for step, value in (("features", "snapshot_id"), ("foundation", "foundation_version"),
                        ("judged", "evaluation_id")):  # fmt: skip
        assert in_bucket[step][value] == in_folder[step][value]
    assert not (there.home / "artefacts").exists()
    before, after = _objects(here), _objects(there)
    assert list(after) == list(before)
    assert [key for key in before if after[key] != before[key]] == []
    pages = [key for key in open_store(there).keys("data_docs") if key.endswith(".html")]
    assert "data_docs/index.html" in pages
    assert in_bucket["load"]["report"].startswith("s3://chain/artefacts/data_docs/batches/")


def test_a_second_run_in_a_bucket_finds_everything_done(tiny_settings, bars, run_chain, put_object):
    put_object("again")
    settings = tiny_settings("home", bars, artefacts="s3://again")
    first = run_chain(settings)
    before = _objects(settings)
    second = run_chain(settings)
    assert second["load"]["already_loaded"]
    assert not second["features"]["created"]
    assert second["judged"]["evaluation_id"] == first["judged"]["evaluation_id"]
    assert _objects(settings) == before
    evaluation = steps.summary(settings, first["judged"]["evaluation_id"])
    assert evaluation["report"].startswith("s3://again/evaluations/")
