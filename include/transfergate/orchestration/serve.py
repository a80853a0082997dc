"""``make up``: Airflow's UI and scheduler on localhost until Ctrl-C or SIGTERM.

    python -m transfergate.orchestration.serve [--port 8080]

DAGs are paused when they first appear; whoever unpauses them starts their schedules.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from transfergate import settings as settings_module
from transfergate.errors import TransferGateError
from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment
from transfergate.orchestration.processes import interruptible
from transfergate.orchestration.rest import ChainError

CHECK_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="serve", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args(arguments)
    interruptible()
    try:
        settings = settings_module.load()
        with EmbeddedAirflow(settings, settings_environment(settings), options.port) as airflow:
            airflow.start_scheduler()
            sys.stdout.write(
                f"Airflow   {airflow.url}\n"
                f"log in    user admin, password {airflow.secrets['admin_password']}\n"
                f"logs      {airflow.logs}\n"
                f"stop      Ctrl-C\n"
            )
            sys.stdout.flush()
            while True:
                airflow.check()
                time.sleep(CHECK_SECONDS)
    except (ChainError, TransferGateError) as error:
        sys.stderr.write(f"up: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
