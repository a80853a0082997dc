"""What the client of Airflow's REST API does when the server does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from transfergate.orchestration import rest
from transfergate.orchestration.rest import AirflowApi, ChainError


class _Server(ThreadingHTTPServer):
    silent = 0
    asked = 0


class _Answers(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = b'{"access_token": "t"}'
        if self.path != "/auth/token":
            self.server.asked += 1
            return  # the connection is closed without a word
        self._say(body)

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.silent:
            self.server.silent -= 1
            return
        self._say(b'{"pools": [{"name": "gpu", "slots": 1}]}')

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setattr(rest.time, "sleep", lambda seconds: None)
    with _Server(("127.0.0.1", 0), _Answers) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def api(server: _Server) -> AirflowApi:
    return AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "admin")


def test_a_question_without_an_answer_is_asked_again(server: _Server):
    server.silent = 2
    assert api(server).pool_slots() == {"gpu": 1}
    assert server.asked == 3


def test_a_server_that_stays_silent_ends_the_chain_with_a_reason(server: _Server):
    server.silent = 99
    with pytest.raises(ChainError, match=r"GET /pools: .* did not answer in 5 tries"):
        api(server).pool_slots()
    assert server.asked == 5


def test_what_changes_something_is_asked_once(server: _Server):
    with pytest.raises(ChainError, match=r"POST .* did not answer in 1 tries"):
        api(server).trigger("ingest_daily_bars", {})
    assert server.asked == 1
