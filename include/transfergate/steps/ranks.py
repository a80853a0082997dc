"""Pre-training by several processes: ``python -m torch.distributed.run ... -m`` this module.

``pretrain_foundation`` starts it where ``torch_processes`` says so. By hand, on any number of
machines that share the artefact root, with torchrun's usual options for the rendezvous::

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m transfergate.steps.ranks \
        SNAPSHOT

Every rank trains its share of the family and knows all of it at the end; what they publish is the
same content at the same key, so it does not matter who comes first.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from transfergate import settings as configuration
from transfergate.errors import TrainingError
from transfergate.learning.distributed import joined
from transfergate.settings import Settings

log = logging.getLogger(__name__)


def pretrain_by_ranks(
    settings: Settings,
    snapshot_id: str,
    sources: Sequence[str] | None,
    targets: Sequence[str] | None,
) -> None:
    """Run ``pretrain_foundation`` in ``torch_processes`` processes under torchrun.

    Raises:
        TrainingError: If one of them failed; says the end of what they said.
    """
    asked = {
        "snapshot_id": snapshot_id,
        "sources": None if sources is None else list(sources),
        "targets": None if targets is None else list(targets),
        "settings": settings.model_dump(mode="json", exclude={"torch_processes"}),
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(settings.torch_processes), "-m", __name__]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asked.json"
        file.write_text(json.dumps(asked))
        log.info("pre-training in %d processes", settings.torch_processes)
        done = subprocess.run(
            [*command, "--asked", str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": str(settings.torch_threads)},
        )
    if done.returncode != 0:
        raise TrainingError(
            f"pre-training in {settings.torch_processes} processes ended with status "
            f"{done.returncode}; the next try resumes from the last checkpoint. They said:\n"
            f"{done.stderr[-2000:]}"
        )


def main(arguments: Sequence[str]) -> None:
    """Train one rank's share; torchrun has set up who is who."""
    from transfergate.steps.pretraining import pretrain_foundation

    logging.basicConfig(level=logging.INFO)
    with joined():
        if arguments[0] == "--asked":
            asked = json.loads(Path(arguments[1]).read_text())
            settings = Settings(**asked["settings"])
            pretrain_foundation(settings, asked["snapshot_id"], asked["sources"], asked["targets"])
        else:
            alone = configuration.load().model_copy(update={"torch_processes": 1})
            pretrain_foundation(alone, arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
