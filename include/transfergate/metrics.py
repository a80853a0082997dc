"""The pipeline's own figures: one place that emits them, and nobody listens unless told to.

Steps say what happened; where that goes is set once in a process: Airflow's own metrics in a task
(StatsD or OpenTelemetry, as Airflow is configured), a StatsD server for the command line. What
cannot be sent is lost and never fails a step. Names and meanings: docs/operations.md.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Mapping
from typing import Literal

log = logging.getLogger(__name__)

Kind = Literal["count", "gauge"]
Sink = Callable[[Kind, str, float], None]

PREFIX = "transfergate"
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_\-]")

_sinks: list[Sink] = []


def send_to(sink: Sink | None) -> None:
    """Let figures go to a sink from now on, instead of an earlier one; None for nowhere."""
    _sinks[:] = [sink] if sink else []


def count(name: str, value: float, about: str | None = None) -> None:
    """So many more, of a name such as ``rows.loaded`` and what it is about, such as a source."""
    _emit("count", name, value, about)


def gauge(name: str, value: float, about: str | None = None) -> None:
    """How it is now, of a name such as ``looks.number`` and what it is about, such as a ticker."""
    _emit("gauge", name, value, about)


def statsd(address: str) -> Sink:
    """Send to a StatsD server by UDP.

    Args:
        address: ``host:port``; a name is looked up once, here.

    Raises:
        OSError: If the name cannot be resolved.
    """
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, target = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[
        0
    ]

    def send(what: Kind, name: str, value: float) -> None:
        mark = "c" if what == "count" else "g"
        with socket.socket(family, kind, protocol) as connection:
            connection.sendto(f"{name}:{value:.12g}|{mark}".encode(), target)

    return send


def _emit(kind: Kind, name: str, value: float, about: str | None) -> None:
    if not _sinks:
        return
    whole = f"{PREFIX}.{name}" + (f".{_UNNAMEABLE.sub('_', about)}" if about else "")
    for sink in _sinks:
        try:
            sink(kind, whole, value)
        except Exception as error:  # whatever a client raises: figures never fail a step
            log.warning("figure %s was not sent: %s", whole, error)


def counts(values: Mapping[str, float], about: str | None = None) -> None:
    """Several counts about one thing; zeros are not sent."""
    for name, value in values.items():
        if value:
            count(name, value, about)
