"""What a failure says of itself holds no password, wherever it is said."""

from __future__ import annotations

import json
import logging
import os
import time

import pytest
from airflow.sdk import BaseHook

from tests.orchestration.test_notify import EMAIL, SLACK, TOKEN, failed, notify
from transfergate import errors
from transfergate.orchestration import redaction
from transfergate.orchestration.notify import failure_line, failure_notice, failure_notifiers
from transfergate.orchestration.redaction import hidden
from transfergate.settings import NotifyParams

PLANTED = "pl4nted-passw0rd"

TEXTS = [
    f"postgresql+psycopg2://airflow:{PLANTED}@db:5432/airflow refused",
    f"cannot reach https://me:{PLANTED}@vendor.example/bars.csv?x=1",
    f"s3://key:{PLANTED}/with/slash@bucket/prefix",
    f"connect(host='db', password='{PLANTED}')",
    f'{{"password": "{PLANTED}"}}',
    f"login failed: AWS_SECRET_ACCESS_KEY={PLANTED}",
    f"aws_session_token: {PLANTED}",
    f"Authorization: Bearer {PLANTED}",
    f"--api-key={PLANTED}",
    f"https://hooks.slack.com/services/{PLANTED}",
    f"GET https://b.s3.amazonaws.com/k?X-Amz-Signature={PLANTED}&X-Amz-Date=1",
    f'connect(password="two, words; {PLANTED}", host="db")',
    f'{{"secret": "a\\"b {PLANTED}"}}',
    f"""the vendor answered '{{\\"password\\": \\"{PLANTED}\\"}}'""",
    f"Authorization: token {PLANTED}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_looks_like_a_secret_is_masked(text):
    assert PLANTED not in hidden(text)
    assert "***" in hidden(text)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("known", ["secret", "password", "token"])
def test_a_name_that_is_also_a_known_secret_hides_its_value_all_the_same(monkeypatch, known, text):
    monkeypatch.setenv("VENDOR_PASSWORD", known)
    assert PLANTED not in hidden(text)


def test_a_key_of_aws_is_masked():
    assert "AKIA" not in hidden("AKIAIOSFODNN7EXAMPLE is not allowed")


@pytest.mark.parametrize(
    "text",
    [
        "GOOG: 12 of 120 rows break high_bounds_the_bar; correct the source",
        "s3://bucket/team/artefacts/champions/AAA/000001.json: it is no JSON",
        "expected 5 tokens, found 3",
        "tokens: 512, tokenizer=words",
        "AAA is of the sector Basic Materials",
        "http://localhost:8080/dags/x/runs/manual__2026-01-01T00:00:00+00:00",
    ],
)
def test_a_text_without_secrets_stays_as_it_is(text):
    assert hidden(text) == text


def test_a_password_of_a_connection_that_was_read_is_masked_wherever_it_stands(monkeypatch):
    told = json.dumps({"conn_type": "postgres", "host": "db", "password": PLANTED})
    monkeypatch.setenv("AIRFLOW_CONN_VENDOR", told)
    BaseHook.get_connection("vendor")
    assert hidden(f"the vendor said {PLANTED}!") == "the vendor said ***!"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIRFLOW_CONN_OTHER", f"postgresql://u:{PLANTED}@db/x"),
        ("AWS_SECRET_ACCESS_KEY", PLANTED),
        ("MLFLOW_TRACKING_URI", f"http://u:{PLANTED}@mlflow:5000"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"postgresql://u:{PLANTED}@db/x"),
        ("MINIO_ROOT_PASSWORD", PLANTED),
    ],
)
def test_a_secret_of_the_environment_is_masked_wherever_it_stands(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert hidden(f"refused {PLANTED}") == "refused ***"


@pytest.mark.parametrize(
    "piece",
    ["a", "a.", "-", "password", "token_", "a://x:", "://x", "eyJ-aaaaaaaa-", 'token="', " "],
)
def test_a_long_text_keeps_nobody_waiting(piece):
    began = time.process_time()
    for pattern, mask in redaction._PATTERNS:
        pattern.sub(mask, piece * (20_000 // len(piece)))
    assert time.process_time() - began < 2.0, "some took a minute for so much"


def test_a_switch_whose_name_holds_the_word_secret_masks_nothing(monkeypatch):
    monkeypatch.setenv("AIRFLOW__SECRETS__USE_CACHE", "False")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert hidden("expected False, found false") == "expected False, found false"


def test_folders_and_settings_of_secrets_are_no_secrets(monkeypatch):
    monkeypatch.setenv("PWD", "/opt/transfergate")
    monkeypatch.setenv("AIRFLOW__SECRETS__CACHE_TTL_SECONDS", "90000")
    text = "/opt/transfergate/bars.csv has 90000 rows"
    assert hidden(text) == text


@pytest.fixture
def warned(caplog, monkeypatch):
    for name, value in list(os.environ.items()):
        if any(redaction._of_variable(name, value)):
            monkeypatch.delenv(name)
    redaction._warn_of_words.cache_clear()
    yield caplog
    redaction._warn_of_words.cache_clear()


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("market", "*** supermarket/***.csv: airflow, no such file"),
        ("airflow", "market supermarket/market.csv: airflow, no such file"),
        ("file", "market supermarket/market.csv: airflow, no such file"),
    ],
)
def test_a_word_of_everyday_hides_no_other_and_its_owner_is_told(
    monkeypatch, warned, password, said
):
    monkeypatch.setenv("AIRFLOW_CONN_VENDOR", f"http://u:{password}@vendor/x")
    for _ in range(2):
        assert hidden("market supermarket/market.csv: airflow, no such file") == said
    (record,) = warned.records
    assert "AIRFLOW_CONN_VENDOR: holds a secret that may be a word" in record.getMessage()
    assert "market" not in record.getMessage()


def test_of_a_good_secret_nobody_is_warned(monkeypatch, warned):
    monkeypatch.setenv("AIRFLOW_CONN_VENDOR", "http://u:bluehorsestaple@vendor/x")
    assert hidden("xbluehorsestaplex") == "x***x"
    assert warned.records == []


def test_a_secret_of_a_connection_beside_its_password_is_masked(monkeypatch):
    told = {"conn_type": "aws", "extra": {"aws_secret_access_key": PLANTED}}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(told))
    assert hidden(f"refused {PLANTED}") == "refused ***"
    monkeypatch.setenv(
        "AIRFLOW_CONN_STORE", json.dumps(told | {"extra": json.dumps(told["extra"])})
    )
    assert hidden(f"refused {PLANTED}") == "refused ***"


@pytest.mark.parametrize("text", TEXTS)
def test_no_notice_of_a_failure_holds_it(text):
    context = failed(errors.StorageUnavailable(text))
    assert PLANTED not in failure_line(context)
    assert PLANTED not in str(failure_notice(context))


def test_it_leaves_by_no_channel(run_mail_server, run_slack, monkeypatch, caplog):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", run_mail_server.connection)
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_OPS", run_slack.connection(TOKEN))
    run_mail_server.mails.clear()
    run_slack.received.clear()
    both = NotifyParams(email_to=EMAIL.email_to, slack_connection=SLACK.slack_connection)
    with caplog.at_level(logging.DEBUG):
        notify(failure_notifiers(both), failed(errors.SourceError("\n".join(TEXTS))))
    ((_, _, mail),), ((_, _, message),) = run_mail_server.mails, run_slack.received
    (part,) = [one for one in mail.walk() if one.get_content_type() == "text/html"]
    for said in (caplog.text, part.get_content(), message["text"]):
        assert "SourceError" in said or "***" in said
        assert PLANTED not in said
