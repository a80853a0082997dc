"""Sources that never answer, met by a whole step."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from drills.disturbed import disturbed
from drills.findings import Finding
from drills.forks import run_in_fork
from drills.gateway import login
from drills.homes import Operation, copy_of
from drills.remains import state
from transfergate.settings import Settings


def source_hangs(root: Path, operations: list[Operation], given_up_after: int = 2) -> list[Finding]:
    """A source that never answers, under the time limit that Airflow puts upon a task."""
    ingest = next(one for one in operations if one.name == "ingest")
    seen = disturbed(root, ingest, lambda settings: _given_up(ingest, settings, given_up_after))
    said, seconds = seen.said
    nothing = seen.during == seen.before
    same = all(seen.after[name] == seen.undisturbed[name] for name in ("facts", "artefacts"))
    well = said == "AirflowTaskTimeout" and nothing and same
    return [
        Finding(
            f"a source that never answers, time limit {given_up_after} s",
            f"{said} after {seconds:.0f} s; {'nothing' if nothing else 'SOMETHING'} "
            f"landed; answering again: {'as' if same else 'OTHER THAN'} undisturbed",
            well,
        )
    ]


def _given_up(ingest: Operation, settings: Settings, limit: int) -> tuple[str, float]:
    """The time limit is the one of Airflow's task runner; a socket that says nothing is read."""
    from airflow.sdk.execution_time.timeout import timeout

    from transfergate.sources.files import FilesSource

    ours, theirs = socket.socketpair()

    def hang(*_: object) -> None:
        ours.recv(1)

    began = time.monotonic()
    try:
        with timeout(seconds=limit), mock.patch.object(FilesSource, "fetch", hang):
            ingest.run(settings)
    except BaseException as error:  # Airflow's is no Exception, so that no step can swallow it
        return type(error).__name__, time.monotonic() - began
    finally:
        theirs.close()
    return "nothing", time.monotonic() - began


def store_hangs(root: Path, operations: list[Operation]) -> list[Finding]:
    """A source on an object store that takes requests and never answers: about two minutes."""
    ingest = next(one for one in operations if one.name == "ingest")
    with _silent_server() as url, copy_of(root, ingest.home) as settings:
        vendor = settings.sources["files"].model_copy(update={"root": "s3://silent/bars"})
        asking = settings.model_copy(update={"sources": {"files": vendor}})
        before = run_in_fork(lambda: state(settings))
        with mock.patch.dict(os.environ, login(url)):
            said, seconds = run_in_fork(lambda: _refused(ingest, asking))
        after = run_in_fork(lambda: state(settings))
    return [
        Finding(
            "a source on an object store that never answers, no time limit",
            f"{said} after {seconds:.0f} s; {'nothing' if after == before else 'SOMETHING'} landed",
            said == "SourceUnavailable" and after == before and seconds < 300,
        )
    ]


def _refused(ingest: Operation, settings: Settings) -> tuple[str, float]:
    began = time.monotonic()
    try:
        ingest.run(settings)
    except Exception as error:
        return type(error).__name__, time.monotonic() - began
    return "nothing", time.monotonic() - began


@contextmanager
def _silent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []
        accept: Callable[[], None] = lambda: _accept(server, kept)  # noqa: E731
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for one in kept:
            one.close()


def _accept(server: socket.socket, kept: list[socket.socket]) -> None:
    while True:
        try:
            kept.append(server.accept()[0])
        except OSError:
            return
