"""Failures and waiting approvals reach people over real servers, and secrets reach nobody."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest

from transfergate import errors
from transfergate.orchestration.notify import (
    LogFailure,
    approval_notifiers,
    failure_notifiers,
    webhook_url,
)
from transfergate.settings import NotifyParams

HOSTILE = "5 of 5 <b>tickers</b> failed & <!channel> {{ 7 * 7 }}\nBcc: evil@example.org"
TOKEN = "T0/B0/xoxsecret"


@pytest.fixture
def mail_server(run_mail_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", run_mail_server.connection)
    run_mail_server.mails.clear()
    return run_mail_server


@pytest.fixture
def slack(run_slack, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_OPS", run_slack.connection(TOKEN))
    run_slack.received.clear()
    run_slack.answers.clear()
    return run_slack


EMAIL = NotifyParams(email_to=("ops@example.org", "risk@example.org"))
SLACK = NotifyParams(slack_connection="slack_ops")


def failed(error: object = None):
    ti = SimpleNamespace(
        dag_id="ingest_daily_bars",
        run_id="manual__1",
        task_id="validate",
        map_index=3,
        try_number=2,
        log_url="http://host/dags/ingest_daily_bars/runs/manual__1/tasks/validate?try_number=2",
    )
    return {"ti": ti, "exception": error or errors.BarsRejected(HOSTILE)}


def waiting():
    context = failed()
    context["ti"].task_id, context["ti"].map_index = "approve", -1
    task = SimpleNamespace(subject="Promote GOOG?", response_timeout=timedelta(hours=72))
    return context | {"task": task}


def notify(notifiers, context) -> None:
    for notifier in notifiers:
        notifier(dict(context))


def test_by_default_a_failure_is_logged_and_nothing_is_sent(caplog):
    (only,) = failure_notifiers(NotifyParams())
    assert isinstance(only, LogFailure)
    assert approval_notifiers(NotifyParams()) == []
    with caplog.at_level(logging.ERROR):
        notify([only], failed())
    assert "dag=ingest_daily_bars run=manual__1 task=validate map_index=3" in caplog.text


def test_a_failure_is_mailed_with_its_error_and_the_way_to_the_log(mail_server):
    notify(failure_notifiers(EMAIL), failed())
    ((sender, to, mail),) = mail_server.mails
    assert sender == "gate@example.org"
    assert to == ["ops@example.org", "risk@example.org"]
    assert mail["Subject"] == "transfergate: ingest_daily_bars.validate failed"
    assert mail["Bcc"] is None
    (part,) = [one for one in mail.walk() if one.get_content_type() == "text/html"]
    text = part.get_content()
    assert "BarsRejected: 5 of 5 &lt;b&gt;tickers&lt;/b&gt; failed" in text
    assert "{{ 7 * 7 }}" in text, "the error is no template"
    assert "tasks/validate?try_number=2" in text
    assert "<b>" not in text


def test_a_failure_reaches_slack_in_a_text_that_mentions_nobody(slack, caplog):
    with caplog.at_level(logging.DEBUG):
        notify(failure_notifiers(SLACK), failed())
    ((path, kind, message),) = slack.received
    assert path == f"/services/{TOKEN}"
    assert kind.startswith("application/json")
    assert "*transfergate: ingest_daily_bars.validate failed*" in message["text"]
    assert "*map index*: 3" in message["text"]
    assert "<!channel>" not in message["text"]
    assert "&lt;!channel&gt;" in message["text"]
    assert "|open in Airflow>" in message["text"]
    assert TOKEN not in caplog.text


def test_a_waiting_approval_is_said_with_its_subject_and_time_limit(mail_server, slack):
    both = NotifyParams(email_to=EMAIL.email_to, slack_connection="slack_ops")
    notify(approval_notifiers(both), waiting())
    ((_, _, mail),), ((_, _, message),) = mail_server.mails, slack.received
    assert mail["Subject"] == "transfergate: waits for your answer: Promote GOOG?"
    assert "refused after 72 hours" in message["text"]
    assert "/tasks/validate/required_actions|open in Airflow>" in message["text"]
    assert approval_notifiers(both.model_copy(update={"approvals": False})) == []


@pytest.mark.parametrize(("answers", "tries"), [([503], 2), ([503, 503], 2), ([404], 1)])
def test_a_busy_slack_is_asked_again_and_a_refusal_is_logged_without_its_address(
    slack, caplog, answers, tries
):
    slack.answers = list(answers)
    with caplog.at_level(logging.DEBUG):
        notify(failure_notifiers(SLACK), failed())
    assert len(slack.received) == tries
    delivered = len(answers) < tries
    assert ("not delivered by Slack" in caplog.text) is not delivered
    assert delivered or f"answered {answers[-1]}" in caplog.text
    assert TOKEN not in caplog.text


def test_a_notice_that_cannot_be_delivered_neither_fails_the_task_nor_keeps_others_back(
    mail_server, monkeypatch, caplog
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_OPS", f"http://:{'secret'}@127.0.0.1:9")
    both = NotifyParams(email_to=EMAIL.email_to, slack_connection="slack_ops")
    backwards = reversed(failure_notifiers(both))
    with caplog.at_level(logging.ERROR):
        notify(backwards, failed())
    assert "not delivered by Slack: connection 'slack_ops', 127.0.0.1 did not answer" in caplog.text
    assert "secret" not in caplog.text
    assert len(mail_server.mails) == 1


def test_a_missing_connection_is_named(caplog):
    nowhere = NotifyParams(email_to=("ops@example.org",), email_connection="no_such_mail")
    with caplog.at_level(logging.ERROR):
        notify(failure_notifiers(nowhere), failed())
    assert "not delivered by e-mail: connection 'no_such_mail'" in caplog.text


@pytest.mark.parametrize(
    ("host", "password", "url"),
    [
        ("", "https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com/services/T/B/x"),
        ("", "T/B/x", "https://hooks.slack.com/services/T/B/x"),
        (
            "https://hooks.example.org/services/",
            "/T/B/x",
            "https://hooks.example.org/services/T/B/x",
        ),
        ("chat.example.org", "x", "https://chat.example.org/x"),
    ],
)
def test_a_webhook_is_a_url_or_host_and_token(host, password, url):
    given = SimpleNamespace(conn_id="c", host=host, password=password, schema="", port=None)
    assert webhook_url(given) == url


@pytest.mark.parametrize("address", ["ops", "a@b,c@d", "a b@c", "a@b\nBcc: c@d"])
def test_what_is_no_address_is_refused_by_the_settings(address):
    with pytest.raises(ValueError, match="email_to"):
        NotifyParams(email_to=(address,))
