"""What a container's host name is to Airflow: on loopback every process has a name of its own."""

from __future__ import annotations

import os


def here() -> str:
    """Name of the service, and of its replica."""
    return os.environ["HOSTNAME"]
