"""MLflow as a view: model versions with lineage as tags, metrics, learning curves, one alias.

Only the client library is used, on a SQLite file or against a server. Its first use creates the
database, which takes about ten seconds.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

log = logging.getLogger(__name__)

EXPERIMENT = "transfergate"
FOUNDATION_MODEL = "transfergate.foundation"
CHAMPION_ALIAS = "champion"
VERSION_TAG = "transfergate_version"
BATCH = 1000


def model_name(ticker: str) -> str:
    """Registered model of a ticker; ``/``, ``:`` and the like are percent-encoded."""
    return "transfergate." + quote(ticker, safe="^=&._-")


class Tracking:
    """One MLflow store, opened on first use."""

    def __init__(self, tracking_uri: str, artifact_root: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self._client: Any = None
        self._experiment_id: str | None = None
        self._runs: dict[tuple[str, str], str] = {}

    def register(
        self,
        name: str,
        version: str,
        key: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[float]],
        notes: Mapping[str, str] | None = None,
    ) -> bool:
        """Create a model version for one of ours, with its run; False if there is one already.

        Five requests for the first version of a model: a judgement enters hundreds of them.

        Args:
            name: Registered model.
            version: Our version; kept as a tag, since MLflow numbers versions itself.
            key: Of the artefact.
            tags: Lineage.
            metrics: Final figures.
            curves: Learning curves, one value per step.
            notes: Tags of the version alone; of one that is there already, these are set anew.
        """
        from mlflow.entities import Metric

        client, notes = self._open(), notes or {}
        if not self._created(name) and (number := self.number(name, version)) is not None:
            for tag, value in notes.items():
                client.set_model_version_tag(name, number, tag, str(value))
            return False
        lineage = {**{tag: str(value) for tag, value in tags.items()}, VERSION_TAG: version}
        run = client.create_run(self._experiment(), tags=lineage, run_name=f"{name} {version}")
        now = int(time.time() * 1000)
        points = (
            Metric(metric, float(value), now, step)
            for metric, values in {**curves, **{m: [v] for m, v in metrics.items()}}.items()
            for step, value in enumerate(values)
            if value is not None
        )
        for batch in _batches(points):
            client.log_batch(run.info.run_id, metrics=batch)
        client.set_terminated(run.info.run_id)
        client.create_model_version(
            name,
            f"x-transfergate://artefacts/{key}",
            run_id=run.info.run_id,
            tags=lineage | {tag: str(value) for tag, value in notes.items()},
        )
        self._runs[name, version] = str(run.info.run_id)
        return True

    def _created(self, name: str) -> bool:
        """Whether a registered model is new, and so without versions."""
        from mlflow.exceptions import MlflowException

        try:
            self._open().create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return False
        return True

    def number(self, name: str, version: str) -> str | None:
        """MLflow's number of one of our versions, or None."""
        found = self._open().search_model_versions(
            f"name='{name}' and tags.{VERSION_TAG}='{version}'"
        )
        return str(min(int(item.version) for item in found)) if found else None

    def run(self, name: str, version: str) -> dict[str, str] | None:
        """MLflow's run of one of our versions and its experiment, or None."""
        run_id = self._runs.get((name, version))
        if run_id is None:
            found = self._open().search_model_versions(
                f"name='{name}' and tags.{VERSION_TAG}='{version}'"
            )
            if not found:
                return None
            run_id = str(min(found, key=lambda item: int(item.version)).run_id)
        return {"run_id": run_id, "experiment_id": self._experiment()}

    def aliased(self, name: str) -> str | None:
        """Our version under the alias ``champion``, or None."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._open().get_model_version_by_alias(name, CHAMPION_ALIAS)
        except MlflowException:
            return None
        version = found.tags.get(VERSION_TAG)
        return None if version is None else str(version)

    def set_alias(self, name: str, version: str | None) -> None:
        """Point the alias ``champion`` at one of our versions, or remove it."""
        client = self._open()
        if version is None:
            client.delete_registered_model_alias(name, CHAMPION_ALIAS)
        else:
            client.set_registered_model_alias(name, CHAMPION_ALIAS, self.number(name, version))

    def _open(self) -> Any:
        if self._client is None:
            # read at import; a training machine is not to call home
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            from mlflow import MlflowClient

            logging.getLogger("alembic").setLevel(logging.WARNING)
            logging.getLogger("mlflow.store").setLevel(logging.WARNING)
            if self.tracking_uri.startswith("sqlite:///"):
                file = Path(self.tracking_uri.removeprefix("sqlite:///"))
                file.parent.mkdir(parents=True, exist_ok=True)
            uri = without_login(self.tracking_uri)
            log.info("opening MLflow at %s", _nameless(urlsplit(uri)))
            self._client = MlflowClient(uri, registry_uri=uri)
        return self._client

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        if self._experiment_id is not None:
            return self._experiment_id
        client = self._open()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            with suppress(MlflowException):  # created meanwhile by another task
                client.create_experiment(EXPERIMENT, self.artifact_root)
            found = client.get_experiment_by_name(EXPERIMENT)
        self._experiment_id = str(found.experiment_id)
        return self._experiment_id


def without_login(uri: str) -> str:
    """The address that MLflow is opened at; user and password of a server go by the environment.

    MLflow quotes a server's address in whatever it raises. A database's login it takes from the
    address alone.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    if parts.password is not None:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return _nameless(parts)


def _nameless(address: SplitResult) -> str:
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


def _batches(points: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(points, BATCH)):
        yield batch
