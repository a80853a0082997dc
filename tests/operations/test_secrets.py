"""No secret that the environment holds stands in a log, an answer, or an artefact."""

from __future__ import annotations

import base64
import logging
import os
import re
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

from tests.chain.conftest import market_bars, publish_features, small_settings
from transfergate import settings as settings_module
from transfergate.cli import main
from transfergate.registry import Registry
from transfergate.registry.tracking import Tracking, without_login
from transfergate.storage import open_store

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED0001",
    "AWS_SECRET_ACCESS_KEY": "planted-s3-secret-0002",
    "AWS_SESSION_TOKEN": "planted-token-0003",
    "MLFLOW_TRACKING_USERNAME": "planted-user-0004",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-0005",
    "AIRFLOW_CONN_SMTP_DEFAULT": "smtp://mail:planted-smtp-0006@127.0.0.1:1/?from_email=a%40b.c",
    "AIRFLOW_CONN_SLACK_OPS": '{"conn_type": "slackwebhook", "password": "planted-slack-0007"}',
}
AWAY = f"http://planted-address-0008:{quote('planted-address-0009')}@127.0.0.1:9"
PLANTED = re.compile(r"AKIAPLANTED0001|planted-[a-z0-9]+-(?:secret-)?\d{4}")


def secrets_in(text: str | bytes) -> set[str]:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return set(PLANTED.findall(said))


@pytest.fixture
def planted(tmp_path, put_object, monkeypatch):
    """An installation in an object store, with secrets in all places that may hold one."""
    put_object("secrets")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFERGATE_ARTEFACTS", "s3://secrets/root")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return small_settings(
        tmp_path / "home", market_bars(150), artefacts="s3://secrets/root",
        mlflow_tracking_uri=settings_module.load().mlflow_tracking_uri,
    )  # fmt: skip


@pytest.mark.slow
def test_planted_secrets_are_in_no_log_no_answer_and_no_artefact(
    planted, monkeypatch, caplog, capfd
):
    """Bars to features in an object store; then whatever may name an address or a key fails."""
    caplog.set_level(logging.DEBUG)
    publish_features(planted)
    store = open_store(planted)
    store.publish_folder(
        "candidates/TGT/v1", lambda folder: (folder / "bundle.json").write_text("{}")
    )
    registry = Registry(store, planted.tracking_uri)
    registry.promote("TGT", "v1", "ada", datetime.now(UTC), "MLflow is away")
    asked = ("status", "summary", "decide TGT", "prune", "decide NOBODY", "rollback TGT --why x",
             "features --rebuild nothing")  # fmt: skip
    for words in asked:
        main([*words.split(), "--json", "-v"])
    monkeypatch.setenv("TRANSFERGATE_ARTEFACTS", "s3://no-such-bucket/root")
    assert main(["status", "--json"]) != 0
    out, err = capfd.readouterr()
    failures = [str(record.exc_text) for record in caplog.records]
    said = "\n".join((out, err, caplog.text, *failures))
    for expected in ("127.0.0.1:9", "no-such-bucket", "NOBODY", "nothing"):
        assert expected in said, "what was to fail did"
    assert secrets_in(said) == set(), [line[:400] for line in said.splitlines() if secrets_in(line)]
    for key in store.keys(""):
        assert secrets_in(store.read(key)) == set(), key
    for path in planted.home.rglob("*"):
        if path.is_file():
            assert secrets_in(path.read_bytes()) == set(), path


def test_mlflow_is_given_the_login_of_its_address(monkeypatch):
    """By the environment, since MLflow quotes the address in what it raises."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "of somebody else")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers["Authorization"])
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://ada:se%2Fcret@127.0.0.1:{server.server_address[1]}"
        with pytest.raises(Exception, match="403") as refused:
            Tracking(address, "").number("model", "v1")
        server.shutdown()
    assert received[0] == "Basic " + base64.b64encode(b"ada:se/cret").decode()
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "opened", "password"),
    [
        ("postgresql+psycopg2://ada:pw@db/mlflow", "postgresql+psycopg2://ada:pw@db/mlflow", "own"),
        ("https://ada@mlflow.example.org", "https://mlflow.example.org", "own"),
        ("https://ada:pw@mlflow.example.org/x", "https://mlflow.example.org/x", "pw"),
    ],
)
def test_no_login_is_lost(monkeypatch, address: str, opened: str, password: str):
    """A database's is in its address alone; a server's password may come by the environment."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "own")
    assert without_login(address) == opened
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == password


def test_what_is_planted_would_be_found():
    for value in (*SECRETS.values(), AWAY):
        assert secrets_in(f"said: {value}"), value
    assert secrets_in(b"\x00planted-s3-secret-0002\xff")
