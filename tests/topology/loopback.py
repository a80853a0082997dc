"""The services of docker-compose.yaml as processes on loopback, without Docker.

Command and environment are those of the file. What differs, because all of them share one machine,
is replaced here and nowhere else: host names and ports, folders of volumes, host names of
containers, and the programs that stand for images which are no Python (``Loopback._command``).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.topology.compose import ROOT, Service, in_order

PGBIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nonexistent"))
PEER = re.compile(r"\b([a-z][a-z0-9-]*):(\d{4,5})\b")
START_SECONDS = 240.0
CODE = ("dags", "plugins", "include", "sql", "deploy")


class Process:
    """One container's worth of processes."""

    def __init__(self, service: Service, name: str, folder: Path) -> None:
        self.service = service
        self.name = name
        self.folder = folder
        self.log = folder / "log"
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def family(self) -> list[psutil.Process]:
        """All of its processes that are alive."""
        if self.popen is None:
            return []
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.popen.pid)
            return [first, *first.children(recursive=True)]
        return []

    def tail(self, n_lines: int = 40) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-n_lines:])


class Loopback:
    """A context manager: inside it the services run.

    Args:
        services: As ``compose.services`` reads them.
        root: An empty folder that PostgreSQL's user can reach.
        python: Of the environment with the cluster's packages.
        programs: Further folders of programs, such as ``mlflow``.
        store: Python that has the local S3 server.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        root: Path,
        python: Path,
        programs: Mapping[str, Path],
        store: Path,
    ) -> None:
        self.services = dict(services)
        self.root = root
        self.store = store
        self.seconds: dict[str, float] = {}
        self._ports: dict[tuple[str, int], int] = {}
        self.processes: dict[str, Process] = {}
        self._write_shims(python, programs)

    def __enter__(self) -> Loopback:
        try:
            for service in in_order(self.services):
                self._wait_for(service)
                began = time.monotonic()
                for number in range(1, service.replicas + 1):
                    name = service.name if service.replicas == 1 else f"{service.name}-{number}"
                    folder = self.root / "services" / name
                    folder.mkdir(parents=True)
                    self.processes[name] = Process(service, name, folder)
                    self.start(name)
                self.seconds[service.name] = time.monotonic() - began
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def port(self, service: str, port: int) -> int:
        """Where a container's port is on loopback."""
        if (service, port) not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[service, port] = free.getsockname()[1]
        return self._ports[service, port]

    def start(self, name: str) -> None:
        """Start a service, or start it again after it was stopped or killed."""
        process = self.processes[name]
        environment = self.environment(name)
        command = self._command(name)
        as_user = {}
        if process.service.name == "postgres":
            as_user = self._prepare_postgres(process, environment)
        with process.log.open("ab") as output:
            process.popen = subprocess.Popen(
                command, env=environment, cwd=process.folder, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **as_user,
            )  # fmt: skip
        if process.service.name == "postgres":
            self._make_roles(process, environment)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End all processes of a service at once, as a lost machine does."""
        _end([self.processes[name]], number)

    def stop(self) -> None:
        """Stop everything, what holds the state last; idempotent."""
        alive = [one for one in self.processes.values() if one.popen is not None]
        state = ("postgres", "redis", "object-store")
        _end([one for one in alive if one.service.name not in state], signal.SIGTERM)
        _end([one for one in alive if one.service.name in state], signal.SIGINT)

    def healthy(self, name: str) -> tuple[bool, str]:
        """Whether the service's own health check passes, and what it said."""
        process = self.processes[name]
        check = self.place(process.service.health, name)
        if process.service.name == "object-store":  # moto knows no /health
            check = f"curl --silent http://127.0.0.1:{self.port('object-store', 7070)}/"
        done = subprocess.run(
            ["bash", "-c", check], env=self.environment(name), capture_output=True, text=True,
            check=False, cwd=process.folder,
        )  # fmt: skip
        return done.returncode == 0, done.stdout + done.stderr

    def check(self) -> None:
        """Raise if a service that should run has ended."""
        for process in self.processes.values():
            ended = None if process.popen is None else process.popen.poll()
            if ended is not None and process.service.restarts:
                raise RuntimeError(f"{process.name} ended with {ended}:\n{process.tail()}")

    def restart_ended(self) -> list[str]:
        """Start again what has ended, as ``restart: unless-stopped`` does; names of these."""
        ended = [
            name
            for name, one in self.processes.items()
            if one.popen is not None and one.popen.poll() is not None and one.service.restarts
        ]
        for name in ended:
            self.start(name)
        return ended

    def ask_redis(self, *words: str) -> str:
        """Say something to Redis."""
        port = str(self.port("redis", 6379))
        return subprocess.run(
            ["redis-cli", "-p", port, *words],
            env=self.environment("redis"), check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def environment(self, name: str) -> dict[str, str]:
        """Environment of a service's processes: the file's, and what a container would have."""
        service = self.processes[name].service
        home = self.processes[name].folder
        own = {key: self.place(value, name) for key, value in service.environment.items()}
        return {
            "PATH": f"{self.root / 'bin'}:{PGBIN}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "HOSTNAME": name,
            "PYTHONPATH": f"{ROOT / 'include'}:{ROOT}",
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
            **({"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__HOSTNAME_CALLABLE":
                "tests.topology.hostname.here"} if service.is_airflow else {}),
            **own,
            **({"AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT":
                str(self.port("scheduler", 8974))} if service.name == "scheduler" else {}),
        }  # fmt: skip

    def volume(self, name: str) -> Path:
        """Folder of a named volume."""
        return self.root / "volumes" / name

    def place(self, text: str, name: str) -> str:
        """A command or value of the file, as it has to be on this machine."""
        service = self.processes[name].service
        for source, target in sorted(service.volumes, key=lambda pair: -len(pair[1])):
            here = ROOT / source if source.startswith(".") else self.volume(source)
            if not source.startswith("."):
                here.mkdir(parents=True, exist_ok=True)
            text = text.replace(target, str(here))
        for folder in CODE:
            text = text.replace(f"/opt/airflow/{folder}", str(ROOT / folder))
        text = PEER.sub(lambda m: self._peer(m[1], int(m[2])) or m[0], text)
        text = re.sub(
            r"--port (\d+)", lambda m: f"--port {self.port(service.name, int(m[1]))}", text
        )
        return text.replace("0.0.0.0", "127.0.0.1").replace("%h", name)

    def _peer(self, host: str, port: int) -> str | None:
        known = host in self.services
        return f"127.0.0.1:{self.port(host, port)}" if known else None

    def _command(self, name: str) -> list[str]:
        service = self.processes[name].service
        words = [*service.entrypoint, *service.command]
        if service.is_airflow and not service.entrypoint:
            words = ["airflow", *words]
        placed = self.place("\0".join(words).replace("\0--port\0", "\0--port "), name)
        words = placed.replace("--port ", "--port\0").split("\0")
        if service.name == "postgres":
            port = str(self.port("postgres", 5432))
            words += ["-D", str(self.volume("postgres")), "-p", port, "-h", "127.0.0.1"]
            words += ["-k", str(self.volume("postgres"))]
        elif service.name == "redis":
            port = str(self.port("redis", 6379))
            words += ["--port", port, "--bind", "127.0.0.1", "--dir", str(self.volume("redis"))]
            self.volume("redis").mkdir(parents=True, exist_ok=True)
        elif service.name == "object-store":
            server = ROOT / "tests" / "object_store.py"
            words = [str(self.store), str(server), str(self.port("object-store", 7070))]
        return words

    def _wait_for(self, service: Service) -> None:
        deadline = time.monotonic() + START_SECONDS
        for needed, condition in service.depends_on.items():
            process = self.processes[needed]
            began = time.monotonic()
            while True:
                assert process.popen is not None
                ended = process.popen.poll()
                if condition == "service_completed_successfully":
                    if ended == 0:
                        break
                elif ended is None and self.healthy(needed)[0]:
                    break
                if ended or time.monotonic() > deadline:
                    raise RuntimeError(f"{needed} is not {condition}:\n{process.tail()}")
                time.sleep(0.25)
            self.seconds[needed] = self.seconds.get(needed, 0.0) + time.monotonic() - began

    def _prepare_postgres(self, process: Process, environment: Mapping[str, str]) -> dict[str, str]:
        # The image's entrypoint: an empty folder gets a database, with the password given.
        as_user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        data = self.volume("postgres")
        data.mkdir(parents=True, exist_ok=True)
        if as_user:
            data.parent.chmod(0o711)  # whatever the umask
            shutil.chown(data, "postgres", "postgres")
        data.chmod(0o700)
        if not (data / "PG_VERSION").exists():
            subprocess.run(
                ["bash", "-c", 'initdb -U postgres -A scram-sha-256 -E UTF8 -N -D "$1" '
                 '--pwfile=<(printf %s "$POSTGRES_PASSWORD")', "initdb", str(data)],
                env=dict(environment), check=True, capture_output=True, cwd="/", **as_user,
            )  # fmt: skip
        return as_user

    def _make_roles(self, process: Process, environment: Mapping[str, str]) -> None:
        done = process.folder / "roles-made"
        if done.exists():
            return
        url = f"postgresql://postgres@127.0.0.1:{self.port('postgres', 5432)}/postgres"
        secret = {**environment, "PGPASSWORD": environment["POSTGRES_PASSWORD"]}
        deadline = time.monotonic() + 60
        while subprocess.run(["pg_isready", "-q", "-d", url], env=secret, check=False).returncode:
            assert time.monotonic() < deadline, process.tail()
            time.sleep(0.1)
        folder = next(s for s, t in process.service.volumes if t == "/docker-entrypoint-initdb.d")
        for script in sorted((ROOT / folder).glob("*.sql")):
            subprocess.run(
                ["psql", "-q", "--no-psqlrc", "-d", url, "-f", str(script)],
                env=secret, check=True, capture_output=True,
            )  # fmt: skip
        done.touch()

    def _write_shims(self, python: Path, programs: Mapping[str, Path]) -> None:
        shims = {
            "python": f'{python} "$@"',
            "airflow": f'{python} -m airflow "$@"',
            "celery": f'{python} -m celery "$@"',
            **{name: f'{path} "$@"' for name, path in programs.items()},
        }
        folder = self.root / "bin"
        folder.mkdir(parents=True)
        for name, line in shims.items():
            (folder / name).write_text(f"#!/bin/sh\nexec {line}\n")
            (folder / name).chmod(0o755)


def _end(processes: Sequence[Process], number: int) -> None:
    family = [one for process in processes for one in process.family]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=20)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    for process in processes:
        if process.popen is not None:
            process.popen.wait()
        process.popen = None
