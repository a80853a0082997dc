"""A local object store, and a proxy before one that refuses writes or loses answers."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
STORE_PYTHON = ROOT / ".venv-s3" / "bin" / "python"
"""Where ``make setup-store`` puts the local S3 server: its lock contradicts ours."""


class Gateway:
    """A proxy before the store that can refuse writes, or carry them out and lose the answer.

    Attributes:
        taken: Writes that went through.
        refused: Writes refused since :meth:`refuse_writes`.
        lose_answers: To so many writes from now on.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.lose_answers = 0
        self.taken = self.refused = 0
        self._turn = threading.Lock()
        self._status: int | None = None  # of refusals
        self._after, self._seconds = 0, math.inf
        self._until: float | None = None  # set by the first refusal
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer is two packets: its body waited 40 ms

            def _forward(self) -> None:
                gateway.answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def refuse_writes(self, status: int, after: int = 0, seconds: float = math.inf) -> None:
        """Refuse writes from now on.

        Args:
            status: What they are answered.
            after: So many are taken before.
            seconds: For so long, from the first refusal.
        """
        with self._turn:
            self._status, self._after, self._seconds = status, after, seconds
            self._until, self.refused = None, 0

    def take_writes(self) -> None:
        """Refuse nothing any more."""
        with self._turn:
            self._status = self._until = None

    def refusal(self) -> int | None:
        """What a write that comes now is answered; None: it is taken."""
        with self._turn:
            now = time.monotonic()
            if self._status is not None and self._after <= 0 and self._until is None:
                self._until = now + self._seconds
            if self._until is not None and now < self._until:
                self.refused += 1
                return self._status
            self._after -= 1
            self.taken += 1
            return None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request, as the store behind does or by a refusal."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        writes = handler.command in ("PUT", "POST", "DELETE")
        refusal = self.refusal() if writes else None
        if refusal is not None:
            self._send(handler, refusal, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        request = urllib.request.Request(
            self.behind + handler.path,
            data=body if writes else None,
            method=handler.command,
            headers={"Content-Type": "application/octet-stream"}
            | {name: handler.headers[name] for name in handler.headers if name != "host"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as found:
                status, headers, content = found.status, dict(found.headers), found.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, dict(error.headers), error.read()
        if handler.command == "PUT" and self.lose_answers:
            self.lose_answers -= 1
            self._send(handler, 503, {}, b"<Error><Code>ServiceUnavailable</Code></Error>")
            return
        self._send(handler, status, headers, content)

    @staticmethod
    def _send(
        handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes
    ) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                handler.send_header(name, value)
        length = headers.get("Content-Length") if handler.command == "HEAD" else len(content)
        handler.send_header("Content-Length", str(length or 0))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)


def login(url: str) -> dict[str, str]:
    """The usual variables of a client, for a store that asks for no more."""
    return {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}  # fmt: skip


@contextmanager
def local_store() -> Iterator[str]:
    """The URL of a local S3 server without buckets, which ends with the context."""
    if not STORE_PYTHON.exists():
        raise FileNotFoundError(f"{STORE_PYTHON}: no local S3 server; next: make setup-store")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [STORE_PYTHON, ROOT / "tests" / "object_store.py", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"the local S3 server ended at once: {process.args}") from None
            time.sleep(0.25)
    raise TimeoutError(f"the local S3 server does not answer at {url}")


@contextmanager
def gated_store(bucket: str) -> Iterator[Gateway]:
    """A proxy before a local S3 server with one bucket; this process's variables name the proxy."""
    with local_store() as url:
        made = urllib.request.Request(f"{url}/{bucket}", data=b"", method="PUT")
        urllib.request.urlopen(made, timeout=10).close()
        gateway = Gateway(url)
        try:
            with mock.patch.dict(os.environ, login(gateway.url)):
                yield gateway
        finally:
            gateway.server.shutdown()
