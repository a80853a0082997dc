"""The command that draws the secrets of docker-compose.yaml."""

from __future__ import annotations

import argparse
import base64
import os
import secrets as random
import shutil
from pathlib import Path

from transfergate.cli.common import Commands, Result, add_command, count
from transfergate.errors import SettingsError

PASSWORDS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "CELERY_DB_PASSWORD",
    "MLFLOW_DB_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
)
"""Only letters and digits: they become parts of URLs."""


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, secrets)
    added.add_argument("--file", type=Path, default=Path(".env"), help="where (default .env)")
    added.add_argument(
        "--training-workers", type=count, default=1, metavar="N", help="that train at a time"
    )
    profile = added.add_mutually_exclusive_group()
    profile.add_argument("--gpu", action="store_true", help="train on a GPU, seen or not")
    profile.add_argument("--cpu", action="store_true", help="train on processors all the same")


def secrets(options: argparse.Namespace) -> Result:
    """Draw the passwords and keys of docker-compose.yaml into a file that only you can read."""
    gpu = options.gpu or (not options.cpu and shutil.which("nvidia-smi") is not None)
    values = draw() | {
        "COMPOSE_PROFILES": "gpu" if gpu else "cpu",
        "TRAINING_WORKERS": str(options.training_workers),
    }
    text = "# Written by `transfergate secrets`. Keep it out of version control and backed up.\n"
    text += "".join(f"{name}={value}\n" for name, value in values.items())
    _write_new(options.file, text)
    said = f"{options.file}: {len(values)} values, readable by you alone; docker compose reads it"
    return {"file": str(options.file), "names": list(values)}, said


def draw() -> dict[str, str]:
    """Fresh values, by their names in docker-compose.yaml."""
    return {name: random.token_hex(24) for name in PASSWORDS} | {
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(random.token_bytes(32)).decode(),
        "AIRFLOW_JWT_SECRET": random.token_hex(64),
        "AIRFLOW_API_SECRET_KEY": random.token_hex(48),
    }


def _write_new(file: Path, text: str) -> None:
    # O_EXCL: a file that is there is never touched, even where two commands run at once.
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SettingsError(
            f"{file} is there already, and what runs depends on it; nothing was written. To change "
            f"one value, edit that line; to begin anew, move the file away and delete the volumes"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be written ({error.strerror}); name a file in a folder that is there "
            f"and yours"
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
