"""Where Airflow answers: links to its pages and ours hold behind a proxy with a path of its own."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

from airflow.configuration import conf

PREFIX = "/transfergate"
"""Path of our pages below Airflow's."""


@cache
def base_path() -> str:
    """Path of ``[api] base_url`` without a slash at its end; empty at the root.

    Read once by a process, as Airflow does.
    """
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def pages() -> str:
    """Path of our pages, for links in texts that Airflow shows."""
    return base_path() + PREFIX
