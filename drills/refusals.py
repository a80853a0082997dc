"""An object store that refuses writes while bars are loaded and features are published."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drills.findings import Finding
from drills.forks import run_in_fork
from drills.gateway import Gateway, gated_store
from drills.homes import FIRST_DAYS, Operation, deliver, settings_of
from drills.remains import MOMENT, State, facts_of
from transfergate.settings import Settings

TAKEN = (0.0, 0.35, 0.7, 1.0)
"""Parts of the writes before the last one that the store takes; then it refuses all others."""
AWAY_SECONDS = 3.0
BUCKET = "drill"


def store_refuses(root: Path, operations: list[Operation]) -> list[Finding]:
    """A second delivery is loaded and its features published, with the artefacts in a bucket."""
    steps = [one for one in operations if one.name != "compaction"]
    with gated_store(BUCKET) as gateway:
        with _home_in_bucket(root, steps) as settings:
            before = run_in_fork(lambda: _stored(settings))
            taken = gateway.taken
            undisturbed = run_in_fork(lambda: _done(steps, settings))
            writes = gateway.taken - taken
        drill = _Drill(root, steps, gateway, before, undisturbed)
        return [drill.for_a_while(writes // 2)] + [
            drill.for_good(round(part * (writes - 1)), writes) for part in TAKEN
        ]


@contextmanager
def _home_in_bucket(root: Path, steps: list[Operation]) -> Iterator[Settings]:
    # A home of the first delivery, with the second one waiting.
    own = root / "stored"
    own.mkdir()
    settings = settings_of(own, own / "home").model_copy(
        update={"artefacts": f"s3://{BUCKET}/{uuid.uuid4().hex}"}
    )
    try:
        deliver(own / "vendor", FIRST_DAYS)
        run_in_fork(lambda: _done(steps, settings))
        deliver(own / "vendor")
        yield settings
    finally:
        shutil.rmtree(own)


def _done(steps: list[Operation], settings: Settings) -> State:
    for step in steps:
        step.run(settings)
    return _stored(settings)


def _stored(settings: Settings) -> State:
    """Facts in the warehouse; hashes of the objects that can be seen; snapshots that lack some."""
    from transfergate.storage import open_store

    store = open_store(settings)
    seen = {}
    torn = []
    for key in store.keys(""):
        content = b"" if "/gx/" in key else store.read(key)
        if key.endswith((".json", ".html", ".csv")):
            content = MOMENT.sub(b"", content)
        seen[key] = hashlib.sha256(content).hexdigest()
    for key in seen:
        folder, _, name = key.rpartition("/")
        if folder.startswith("snapshots/") and name == "manifest.json":
            manifest = store.read_json(key)
            files = [*manifest["files"].values(), manifest["recent"]]
            torn += [
                folder for one in files if seen.get(f"{folder}/{one['name']}") != one["sha256"]
            ]
    return {"facts": facts_of(settings), "seen": seen, "torn": torn}


class _Drill:
    def __init__(
        self,
        root: Path,
        steps: list[Operation],
        gateway: Gateway,
        before: State,
        undisturbed: State,
    ) -> None:
        self.root, self.steps, self.gateway = root, steps, gateway
        self.before, self.undisturbed = before, undisturbed

    def for_a_while(self, after: int) -> Finding:
        """Writes are refused for seconds: they are waited out."""
        with _home_in_bucket(self.root, self.steps) as settings:
            self.gateway.refuse_writes(503, after, AWAY_SECONDS)
            found = run_in_fork(lambda: _done(self.steps, settings))
        same = found == self.undisturbed
        return Finding(
            f"object store refuses writes for {AWAY_SECONDS:g} s",
            f"{self.gateway.refused} refusals waited out; {_as_undisturbed(same)}",
            same and self.gateway.refused > 0,
        )

    def for_good(self, after: int, writes: int) -> Finding:
        """All writes after some are refused: nothing torn; done again, as undisturbed."""
        with _home_in_bucket(self.root, self.steps) as settings:
            self.gateway.refuse_writes(403, after)
            said = run_in_fork(lambda: _said(self.steps, settings))
            self.gateway.take_writes()
            during = run_in_fork(lambda: _stored(settings))
            again = run_in_fork(lambda: _done(self.steps, settings))
        named, whole, same = (
            "AWS_ENDPOINT_URL" in said,
            self._whole(during),
            again == self.undisturbed,
        )
        return Finding(
            f"object store refuses writes, {after} of {writes} taken",
            f"{'named' if named else f'said {said!r}'}; {'nothing torn' if whole else 'TORN'}; "
            f"repeated with the store back: {_as_undisturbed(same)}",
            named and whole and same,
        )

    def _whole(self, found: State) -> bool:
        """Whether tables are as before or complete, no snapshot is torn, and no object is gone."""
        states = (self.before, self.undisturbed)
        known = self.before["seen"].keys() | self.undisturbed["seen"].keys()
        return (
            found["facts"] in [state["facts"] for state in states]
            and not found["torn"]
            and self.before["seen"].keys() <= found["seen"].keys() <= known
        )


def _as_undisturbed(same: bool) -> str:
    return "as undisturbed" if same else "OTHER THAN undisturbed"


def _said(steps: list[Operation], settings: Settings) -> str:
    from transfergate.errors import StorageUnavailable

    try:
        _done(steps, settings)
    except StorageUnavailable as error:
        return str(error)
    return ""
