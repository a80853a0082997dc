"""The whole chain with its artefacts in an object store: the same keys, the same bytes."""

from __future__ import annotations

from tests.kept_objects import kept_objects
from transfergate import steps
from transfergate.storage import open_store


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
    before, after = kept_objects(here), kept_objects(there)
    assert list(after) == list(before)
    assert [key for key in before if after[key] != before[key]] == []
    pages = [key for key in open_store(there).keys("data_docs") if key.endswith(".html")]
    assert "data_docs/index.html" in pages
    assert in_bucket["load"]["report"].startswith("s3://chain/artefacts/data_docs/batches/")


def test_a_second_run_in_a_bucket_finds_everything_done(tiny_settings, bars, run_chain, put_object):
    put_object("again")
    settings = tiny_settings("home", bars, artefacts="s3://again")
    first = run_chain(settings)
    before = kept_objects(settings)
    second = run_chain(settings)
    assert second["load"]["already_loaded"]
    assert not second["features"]["created"]
    assert second["judged"]["evaluation_id"] == first["judged"]["evaluation_id"]
    assert kept_objects(settings) == before
    evaluation = steps.summary(settings, first["judged"]["evaluation_id"])
    assert evaluation["report"].startswith("s3://again/evaluations/")
