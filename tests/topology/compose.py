"""What docker-compose.yaml says of each service, with the variables of an .env filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yaml"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True)
class Service:
    """One service, as Docker Compose would start it."""

    name: str
    image: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    health: str
    depends_on: dict[str, str]
    volumes: tuple[tuple[str, str], ...]
    profiles: tuple[str, ...]
    replicas: int
    restarts: bool

    @property
    def is_airflow(self) -> bool:
        """Whether its image's entrypoint hands the command to ``airflow``."""
        return self.image.startswith("transfergate:")


def document() -> dict[str, Any]:
    """The file as it stands, anchors resolved."""
    return dict(yaml.safe_load(FILE.read_text()))


def services(
    variables: Mapping[str, str], settings: Mapping[str, str], profiles: tuple[str, ...] = ("cpu",)
) -> dict[str, Service]:
    """Services of some profiles.

    Args:
        variables: What ``.env`` says.
        settings: What ``settings.env`` says, for the services that read it.
        profiles: Which optional services start.

    Raises:
        KeyError: If a variable without a default is missing.
    """
    found = {}
    for name, raw in document()["services"].items():
        body = _filled(raw, variables)
        if body.get("profiles") and not set(body["profiles"]) & set(profiles):
            continue
        from_file = settings if "env_file" in body else {}
        said = {key: str(value) for key, value in body.get("environment", {}).items()}
        found[name] = Service(
            name=name,
            image=body["image"],
            entrypoint=_words(body.get("entrypoint", [])),
            command=_words(body.get("command", [])),
            environment={**from_file, **said},
            health=_health(body.get("healthcheck")),
            depends_on={key: one["condition"] for key, one in body.get("depends_on", {}).items()},
            volumes=tuple(tuple(volume.split(":")[:2]) for volume in body.get("volumes", [])),
            profiles=tuple(body.get("profiles", [])),
            replicas=int(body.get("deploy", {}).get("replicas", 1)),
            restarts=body["restart"] == "unless-stopped",
        )
    return found


def in_order(found: Mapping[str, Service]) -> Iterator[Service]:
    """Services, each after those that it depends on."""
    done: set[str] = set()
    while len(done) < len(found):
        ready = [one for one in found.values() if one.name not in done]
        ready = [one for one in ready if set(one.depends_on) <= done]
        if not ready:
            raise ValueError(f"depends_on goes in a circle among {set(found) - done}")
        yield from ready
        done |= {one.name for one in ready}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(entry, variables) for key, entry in value.items()}
    if isinstance(value, list):
        return [_filled(entry, variables) for entry in value]
    return VARIABLE.sub(lambda m: _one(m, variables), value) if isinstance(value, str) else value


def _one(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    value = variables.get(match[1], "")
    if value or match[2] != "?":
        return value or (match[3] or "")
    raise KeyError(f"{match[1]} has no value: {match[3]}")


def _words(command: str | list[str]) -> tuple[str, ...]:
    return tuple(shlex.split(command) if isinstance(command, str) else command)


def _health(check: dict[str, Any] | None) -> str:
    if check is None:
        return ""
    how, *words = check["test"]
    return words[0] if how == "CMD-SHELL" else shlex.join(words)
