"""Who hears that a task has failed for good, or that an approval waits: log, e-mail, Slack.

The log always: one line that an alerting system can match. The others by ``settings.notify`` and
an Airflow connection. A notice that cannot be delivered is an error line of its own; it never
fails the task that it is about, nor keeps another notice back. Errors are said without the secrets
that they may quote (`redaction`).
"""

from __future__ import annotations

import html
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseNotifier

from transfergate.orchestration.redaction import hidden
from transfergate.settings import NotifyParams

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

SLACK_HOST = "https://hooks.slack.com/services"
SLACK_SECONDS = 10.0
SLACK_TRIES = 2
MAX_ERROR = 1500


@dataclass(frozen=True)
class Notice:
    """What is said: a subject on one line, facts in order, and where to look."""

    subject: str
    facts: tuple[tuple[str, str], ...]
    url: str


def failure_notifiers(params: NotifyParams) -> list[BaseNotifier]:
    """What a task runs when it has failed for good."""
    return [LogFailure(), *_senders(params, "failure")]


def approval_notifiers(params: NotifyParams) -> list[BaseNotifier]:
    """What runs when promotions begin to wait for a person."""
    return _senders(params, "approval") if params.approvals else []


def _senders(params: NotifyParams, about: str) -> list[BaseNotifier]:
    senders: list[BaseNotifier] = []
    if params.email_to:
        senders.append(EmailNotice(params, about))
    if params.slack_connection:
        senders.append(SlackNotice(params.slack_connection, about))
    return senders


class LogFailure(BaseNotifier):
    """Write one ERROR line that names DAG, run, task, map index, try and exception."""

    def notify(self, context: Context) -> None:
        """Log the failure described by the task's context."""
        log.error("%s", failure_line(context))


class _Sender(BaseNotifier):
    """Deliver a notice about a task's context; an undelivered one is logged and goes no further.

    Args:
        about: ``failure`` or ``approval``.
    """

    channel = ""

    def __init__(self, about: str) -> None:
        super().__init__()
        self.about = about

    def notify(self, context: Context) -> None:
        """Send it, or say in the log why it could not be sent."""
        notice = approval_notice(context) if self.about == "approval" else failure_notice(context)
        try:
            self.send(notice)
        except Exception as error:
            # The text of an error may quote the request, and that its secret address.
            reason = str(error) if isinstance(error, NotDelivered) else type(error).__name__
            log.error("transfergate notice not delivered by %s: %s", self.channel, hidden(reason))

    def send(self, notice: Notice) -> None:
        """Deliver one notice."""
        raise NotImplementedError


class NotDelivered(Exception):
    """A notice was refused, or nobody answered; the message holds no secret."""


class EmailNotice(_Sender):
    """E-mail through the SMTP provider's notifier and its connection."""

    channel = "e-mail"

    def __init__(self, params: NotifyParams, about: str) -> None:
        super().__init__(about)
        self.params = params

    def send(self, notice: Notice) -> None:
        """Deliver one notice to all addresses, as one message."""
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        connection = self.params.email_connection
        try:
            SmtpNotifier(
                to=list(self.params.email_to),
                from_email=self.params.email_from,
                subject=notice.subject,
                html_content=as_html(notice),
                smtp_conn_id=connection,
            ).notify({})
        except Exception as error:
            raise NotDelivered(
                f"connection {connection!r}, {type(error).__name__}: {_one_line(error)}; "
                f"look at host, port, login and the extra fields disable_ssl and disable_tls"
            ) from error


class SlackNotice(_Sender):
    """A message through a Slack incoming webhook."""

    channel = "Slack"

    def __init__(self, connection: str, about: str) -> None:
        super().__init__(about)
        self.connection = connection

    def send(self, notice: Notice) -> None:
        """Deliver one notice; tried twice where the server is away or busy."""
        from airflow.sdk import BaseHook

        url = webhook_url(BaseHook.get_connection(self.connection))
        problem = ""
        for _ in range(SLACK_TRIES):
            retry, problem = _post(url, {"text": as_slack(notice)})
            if not problem:
                return
            if not retry:
                break
        raise NotDelivered(f"connection {self.connection!r}, {urlsplit(url).hostname} {problem}")


def webhook_url(connection: Any) -> str:
    """The webhook's URL: the password, or host and password as Airflow's Slack provider has them.

    Raises:
        NotDelivered: If there is no password.
    """
    token = (connection.password or "").strip()
    if token.startswith(("https://", "http://")):
        return token
    if not token:
        raise NotDelivered(
            f"connection {connection.conn_id!r} has no password: put the webhook's URL there"
        )
    host = (connection.host or SLACK_HOST).rstrip("/")
    if "://" not in host:
        port = f":{connection.port}" if connection.port else ""
        host = f"{connection.schema or 'https'}://{host}{port}"
    return f"{host}/{token.lstrip('/')}"


def _post(url: str, message: dict[str, str]) -> tuple[bool, str]:
    # Whether another try may help, and what went wrong; without httpx, whose log names the URL.
    import json
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    body = json.dumps(message).encode()
    request = Request(url, body, {"Content-Type": "application/json; charset=utf-8"})
    try:
        with urlopen(request, timeout=SLACK_SECONDS):
            return False, ""
    except HTTPError as error:
        said = error.read(200).decode(errors="replace")
        return error.code == 429 or error.code >= 500, f"answered {error.code} {_one_line(said)}"
    except (OSError, ValueError) as error:
        return True, f"did not answer: {type(error).__name__}"


def failure_line(context: Any) -> str:
    """Render a failed task's context as ``key=value`` pairs on one line."""
    ti = context["ti"]
    error = " ".join(hidden(str(context.get("exception") or "killed or timed out")).split())
    return (
        f"transfergate task failed: dag={ti.dag_id} run={ti.run_id} task={ti.task_id} "
        f"map_index={ti.map_index} try={ti.try_number} error={error}"
    )


def failure_notice(context: Any) -> Notice:
    """What is said of a task that has failed for good."""
    ti, error = context["ti"], context.get("exception")
    said = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error
    return Notice(
        f"transfergate: {ti.dag_id}.{ti.task_id} failed",
        (
            *_where(ti),
            ("try", str(ti.try_number)),
            ("error", _cut(hidden(str(said or "killed or timed out")))),
        ),
        _url(ti),
    )


def approval_notice(context: Any) -> Notice:
    """What is said when promotions wait for a person."""
    ti, task = context["ti"], context["task"]
    hours = task.response_timeout.total_seconds() / 3600 if task.response_timeout else None
    return Notice(
        f"transfergate: waits for your answer: {_one_line(hidden(str(task.subject)))}",
        (
            *_where(ti),
            ("without an answer", f"refused after {hours:g} hours" if hours else "waits"),
        ),
        f"{_url(ti).partition('?')[0]}/required_actions",
    )


def _where(ti: Any) -> tuple[tuple[str, str], ...]:
    index = () if ti.map_index is None or ti.map_index < 0 else (("map index", str(ti.map_index)),)
    return ("DAG", ti.dag_id), ("run", ti.run_id), ("task", ti.task_id), *index


def as_html(notice: Notice) -> str:
    """The notice as the body of an e-mail; every value is escaped."""
    rows = "".join(
        f"<tr><th align='left' valign='top'>{html.escape(name)}</th>"
        f"<td style='white-space:pre-wrap'>{html.escape(value)}</td></tr>"
        for name, value in notice.facts
    )
    link = html.escape(notice.url, quote=True)
    return (
        f"<p>{html.escape(notice.subject)}</p><table cellpadding='4'>{rows}</table>"
        f"<p><a href='{link}'>{link}</a></p>"
    )


def as_slack(notice: Notice) -> str:
    """The notice as Slack's text, in which no value can mention people or make a link."""
    facts = "\n".join(f"*{name}*: {_slack(value)}" for name, value in notice.facts)
    return f"*{_slack(notice.subject)}*\n{facts}\n<{_slack(notice.url)}|open in Airflow>"


def _slack(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _url(ti: Any) -> str:
    return str(getattr(ti, "log_url", None) or "")


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())[:300]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]} … (cut; all of it in the log)"
