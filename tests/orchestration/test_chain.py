"""The whole chain through a real scheduler, twice, on planted markets that train in seconds."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.follow import follow_chain
from transfergate.orchestration.progress import Progress
from transfergate.orchestration.rest import ChainError
from transfergate.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 480.0
"""Seconds for one run of the chain, of which an idle machine takes a quarter."""
COMMAND = [sys.executable, "-m", "transfergate.orchestration.retrain", "--source", "synthetic"]
TINY = {
    # A strong rule that two steps from scratch do not find and pre-training does: one promotion.
    "SOURCES__SYNTHETIC__SYNTHETIC": {"n_sources": 2, "n_sessions": 420, "strength": 0.95},
    "FEATURES__NAMES": ["return_1", "volume_surprise_20"],
    "FEATURES__Z_WINDOW": 20,
    "WALK_FORWARD": {"n_folds": 2, "min_train_sessions": 120, "validation_sessions": 30,
                     "embargo_sessions": 2, "test_sessions": 30},
    "NETWORK": {"encoder": "gru", "encoder_units": 4, "head_units": 4},
    "PRETRAIN__OPTIMISER": {"n_updates": 400, "n_paths": 2, "path_sessions": 32,
                            "burn_in_sessions": 8, "tail_sessions": 4, "n_validations": 2},
    "FINETUNE__OPTIMISER": {"n_updates": 2, "n_paths": 2, "path_sessions": 32,
                            "burn_in_sessions": 8, "tail_sessions": 4, "n_validations": 2},
    "FINETUNE__GRID": [{"input_noise": 0.5}],
    "FINETUNE__N_SEEDS": 3,
    "GATE__MIN_OOS_SESSIONS": 40,
    "GATE__EVIDENCE": "point",  # sixty sessions prove nothing
    "APPROVAL__BY": "human",
}  # fmt: skip


def environment(home: Path) -> dict[str, str]:
    tiny = {
        f"TRANSFERGATE_{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in TINY.items()
    }
    return {
        **os.environ,
        **tiny,
        "PYTHONPATH": str(ROOT / "include"),
        "TRANSFERGATE_HOME": str(home),
    }


def retrain(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def retrain_unasked(home: Path, *arguments: str) -> str:
    """The command where nothing is to be approved; returns its output."""
    done = retrain(home, *arguments)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-6000:]
    return done.stdout


def retrain_and_approve(home: Path, *arguments: str) -> str:
    """The command in human mode, answered over REST where its output says; returns the output."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(home), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if asked := re.search(r"waits for your answer: (http://[^/]+)(/dags/\S+)", line):
            approve(home, asked[1], asked[2])
    timer.cancel()
    assert process.wait(timeout=60) == 0, "".join(lines)
    return "".join(lines)


def approve(home: Path, url: str, page: str) -> None:
    """Read the question at a page of the UI over REST, and answer yes."""
    password = json.loads((home / "airflow/secrets.json").read_text())["admin_password"]
    login = httpx.post(f"{url}/auth/token", json={"username": "admin", "password": password})
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    _, _, dag_id, _, run_id, _, task_id, _ = page.split("/")
    path = f"{url}/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
    question = httpx.get(path, headers=headers).json()
    assert question["subject"] == "Promote SHARED?"
    assert "(/transfergate/evaluations/" in question["body"]
    assert question["defaults"] == ["Reject"]
    assert httpx.patch(path, json={"chosen_options": ["Approve"]}).status_code == 401
    answer = {"chosen_options": ["Approve"], "params_input": {}}
    assert httpx.patch(path, json=answer, headers=headers).status_code == 200
    assert httpx.patch(path, json=answer, headers=headers).status_code == 409


def left_over(home: Path) -> list[str]:
    """Command lines of processes that hold a file below a home, or were told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            open_below = any(file.path.startswith(str(home)) for file in process.open_files())
            if open_below or process.environ().get("TRANSFERGATE_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def words(lines: list[str]) -> set[str]:
    return {word for line in lines for word in line.split()}


def objects(home: Path) -> dict[str, bytes]:
    """Everything below the artefact root but the site of reports, which is rendered anew."""
    root = home / "artefacts"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] != "data_docs"
    }


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Two runs of the command in one home: outputs, results, and objects after each."""
    home = tmp_path_factory.mktemp("chain")
    runs = []
    for run in (retrain_and_approve, retrain_unasked):
        file = home / f"result-{len(runs)}.json"
        output = run(home, "--result", str(file))
        runs.append((output, json.loads(file.read_text()), objects(home)))
    return home, runs


def test_every_task_of_the_chain_succeeds_and_is_shown(chain):
    _, [(output, _, _), _] = chain
    states = re.findall(r"^ *[\d.]+s  (\w+) +(\w+)(?:\[.*?\])? +success", output, re.MULTILINE)
    assert list(dict.fromkeys(dag_id for dag_id, _ in states)) == list(CHAIN)
    assert {"plan", "fetch", "validate", "load", "build", "pretrain", "backtest", "register",
            "finetune", "judge", "who_decides", "approve", "promote",
            } <= {task for _, task in states}  # fmt: skip


def test_assets_carry_what_was_made_from_dag_to_dag(chain):
    home, [(_, result, made), _] = chain
    snapshot, version = (
        result["features"]["snapshot_id"],
        result["foundation"]["foundation_version"],
    )
    assert result["bars"]["source"] == result["features"]["source"] == "synthetic"
    assert result["bars"]["loaded"] + result["bars"]["quarantined"] == result["bars"]["received"]
    assert result["foundation"]["snapshot_id"] == snapshot
    for prefix in (
        f"batches/{result['bars']['batch_id']}/",
        f"snapshots/{snapshot}/manifest.json",
        f"foundations/{version}/",
        f"evaluations/{result['evaluation_id']}/",
    ):
        assert any(key.startswith(prefix) for key in made), prefix
    assert (home / "artefacts/data_docs/index.html").is_file()


def test_each_target_gets_a_verdict(chain):
    _, [(output, result, _), _] = chain
    assert set(result["summary"]["tickers"]) == {"SHARED", "OPPOSED"}
    for ticker, entry in result["summary"]["tickers"].items():
        assert entry["verdict"] in output
        assert ticker in output


def test_the_champion_moved_when_a_person_said_so(chain):
    _, [(output, result, made), (second, _, _)] = chain
    assert "waits for your answer" in output
    assert "waits for your answer" not in second  # nothing was left to promote
    assert result["promotions"]["promoted"] == ["SHARED"]
    row = json.loads(made["champions/SHARED/000001.json"])
    assert row["who"].startswith("admin, after the gate, in run asset_triggered__")
    assert row["evaluation"] == result["evaluation_id"]


def test_the_second_run_makes_nothing_new_and_says_so(chain):
    _, [(_, first, made_first), (output, second, made_second)] = chain
    assert second["bars"] == first["bars"] | {"already_loaded": True}
    assert not second["features"]["created"]
    assert not second["foundation"]["registered"]
    assert second["promotions"]["promoted"] == []
    assert second["evaluation_id"] == first["evaluation_id"]
    assert second["summary"] == first["summary"]
    assert made_second == made_first
    assert output.count("nothing new") == 3


def test_nothing_runs_on_afterwards(chain):
    home, _ = chain
    assert left_over(home) == []


def test_a_champion_is_rolled_back_by_a_dag_run(chain):
    home, [(_, _, made), _] = chain
    champion = json.loads(made["champions/SHARED/000001.json"])["version"]
    conf = {"ticker": "SHARED", "champion": champion, "why": "slippage above the costs"}
    with EmbeddedAirflow(Settings(home=home), environment(home)) as airflow:
        airflow.start_scheduler()
        airflow.api.wait_for_dags(BY_HAND, parsed_after=0.0, seconds=60)
        with pytest.raises(ChainError, match="why"):
            airflow.api.trigger(*BY_HAND, {"ticker": "SHARED"})
        run_id = airflow.api.trigger(*BY_HAND, conf)
        follow_chain(airflow, *BY_HAND, run_id, *BY_HAND, Progress(io.StringIO()))
    row = json.loads(objects(home)["champions/SHARED/000002.json"])
    assert (row["action"], row["version"], row["why"]) == ("rollback", None, conf["why"])
    assert row["who"] == f"admin, in run {run_id}"


def test_a_failing_task_fails_the_command_with_its_reason_and_its_log(chain):
    home, _ = chain
    done = retrain(home, "--start", "2019-01-02", "--end", "2019-01-01")
    assert done.returncode == 1
    assert "exchange the two dates" in done.stderr
    log_file = re.search(r"full log: (\S+)", done.stderr)
    assert log_file
    assert Path(log_file[1]).is_file()
    assert left_over(home) == []


def test_an_interrupt_stops_all_that_was_started(chain):
    home, _ = chain
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment(home), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "ingest_daily_bars" in line:  # the scheduler runs tasks by now
            break
    started = psutil.Process(process.pid).children(recursive=True)
    assert {"api_server", "dag-processor", "scheduler"} <= words(left_over(home))
    process.send_signal(signal.SIGTERM)
    output = process.stdout.read()
    assert process.wait(timeout=60) == 130
    assert "interrupted" in output
    assert left_over(home) == []
    assert psutil.wait_procs(started, timeout=10)[1] == []
