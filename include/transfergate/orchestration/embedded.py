"""One Airflow on one machine: SQLite, LocalExecutor, loopback only; stopped with its last child.

Everything lies below ``<home>/airflow``: database, logs, and a file of secrets that are drawn
on first use. Environment variables of another Airflow on this machine are not inherited.
"""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx

from transfergate.orchestration.processes import Processes
from transfergate.orchestration.rest import AirflowApi, ChainError
from transfergate.settings import PROJECT_ROOT, Settings

log = logging.getLogger(__name__)

START_SECONDS = 180.0


class EmbeddedAirflow:
    """A context manager: inside it Airflow runs, and ``api`` speaks to it.

    Args:
        settings: Whose ``home`` holds it; tasks get the same settings from the environment.
        environment: Further variables for all of Airflow's processes.
        port: Of the API server; None takes a free one.
    """

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], port: int | None = None
    ) -> None:
        self.home = settings.home.resolve() / "airflow"
        self.logs = self.home / "logs"
        self.port = _free_port(port or 0)
        self.url = f"http://127.0.0.1:{self.port}"
        self.secrets: dict[str, str] = {}
        self._extra = dict(environment)
        self._processes = Processes(self.logs, self.home / "processes.json")
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.home / "lock")
        try:
            if orphans := self._processes.stop_orphans():
                log.warning("killed %d processes that an earlier Airflow left", orphans)
            self.secrets = _secrets(self.home / "secrets.json")
            _write_private(
                self.home / "passwords.json", json.dumps({"admin": self.secrets["admin_password"]})
            )
            self._migrate()
            self._start("api-server")
            self._start("dag-processor")
            self._wait_until_up()
            self.api = AirflowApi(self.url, "admin", self.secrets["admin_password"])
            self._create_pools()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start_scheduler(self) -> None:
        """Let tasks run; separate, so that left-over runs can be closed before."""
        self._start("scheduler", "--skip-serve-logs")

    def check(self) -> None:
        """Raise ``ChainError`` if one of Airflow's processes has ended."""
        self._processes.check()

    def stop(self) -> None:
        """Stop everything that was started; idempotent."""
        self._processes.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def environment(self) -> dict[str, str]:
        """Environment of all of Airflow's processes."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        options = {
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": str(max(4, os.cpu_count() or 1)),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__FERNET_KEY": self.secrets["fernet_key"],
            "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": self.secrets["api_secret_key"],
            "API_AUTH__JWT_SECRET": self.secrets["jwt_secret"],
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "SCHEDULER__CATCHUP_BY_DEFAULT": "False",
            # Of 5 s, the default, a busy machine misses five in a row; then the task has failed.
            "WORKERS__EXECUTION_API_TIMEOUT": "60",
            "LOGGING__BASE_LOG_FOLDER": str(self.logs),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        airflow = {f"AIRFLOW__{key}": value for key, value in options.items()}
        return inherited | airflow | {"AIRFLOW_HOME": str(self.home), "NO_COLOR": "1"} | self._extra

    @property
    def _database(self) -> Path:
        return self.home / f"airflow-{version('apache-airflow')}.db"

    # The marker is written after success: a migration that was cut short is done again from zero.
    def _migrate(self) -> None:
        marker = self._database.with_suffix(".migrated")
        if marker.exists():
            return
        self._database.unlink(missing_ok=True)
        self._start("db", "migrate")
        self._processes.finish("db")
        marker.touch()

    def _start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "airflow", *arguments]
        self._processes.start(arguments[0], command, self.environment())

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.check()
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/api/v2/version", timeout=5).status_code == 200:
                    return
            if time.monotonic() > deadline:
                raise ChainError(
                    f"Airflow's API did not answer on {self.url} within {START_SECONDS:.0f} s; "
                    f"see {self.logs / 'api-server.log'}"
                )
            time.sleep(0.25)

    def _create_pools(self) -> None:
        pools = json.loads((PROJECT_ROOT / "include" / "pools.json").read_text())
        if shutil.which("nvidia-smi") is None:  # without a GPU its pool counts processors
            pools["gpu"]["slots"] = max(1, os.cpu_count() or 1)
        for name, pool in pools.items():
            self.api.put_pool(name, pool)


def settings_environment(settings: Settings) -> dict[str, str]:
    """Variables that let processes in other folders see the same settings."""
    config = {"TRANSFERGATE_HOME": str(settings.home.resolve())}
    if (file := Path(os.environ.get("TRANSFERGATE_CONFIG", "transfergate.toml"))).exists():
        config["TRANSFERGATE_CONFIG"] = str(file.resolve())
    return config


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            raise ChainError(
                f"port {wanted} is taken by another program; stop that one, or choose another "
                f"port (make up PORT=8081)"
            ) from None
        return int(probe.getsockname()[1])


def _lock(path: Path) -> IO[str]:
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise ChainError(
            f"another Airflow runs in {path.parent} (process {owner}); stop it first (Ctrl-C "
            f"where it runs), or give this one another folder with TRANSFERGATE_HOME"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _secrets(path: Path) -> dict[str, str]:
    if not path.exists():
        drawn: dict[str, Any] = {
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt_secret": secrets.token_urlsafe(64),
            "api_secret_key": secrets.token_urlsafe(48),
            "admin_password": secrets.token_urlsafe(12),
        }
        _write_private(path, json.dumps(drawn))
    return dict(json.loads(path.read_text()))


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
