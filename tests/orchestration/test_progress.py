"""What a person sees while the chain runs, on a terminal and in a log file."""

from __future__ import annotations

import io
import json

from transfergate.orchestration.progress import Progress, last_said, readable_tail
from transfergate.orchestration.rest import TaskInstance


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def one(state: str, *, index: int = -1, label: str = "", attempt: int = 1, ended: str = ""):
    seconds = 2.0 if ended else None
    return TaskInstance("dag", "run", "task", index, label, state, attempt, seconds, ended)


def test_a_log_file_gets_one_line_per_change_of_state():
    out = io.StringIO()
    progress = Progress(out, Clock())
    for state in ("none", "scheduled", "queued", "running", "running"):
        progress.show([one(state)], {})
    for _ in range(2):
        progress.show([one("success", ended="2026-01-05T08:00:00Z")], {})
    lines = out.getvalue().splitlines()
    assert [line.split()[3] for line in lines] == ["running", "success"]
    assert lines[-1].endswith("2.0 s")


def test_a_log_file_gets_a_running_tasks_words_only_now_and_then():
    out, clock = io.StringIO(), Clock()
    progress = Progress(out, clock)
    for clock.now in range(25):
        progress.show([one("running")], {one("running").key: f"epoch {clock.now}"})
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["0", "10", "20"]


def test_a_terminal_redraws_what_runs_and_keeps_what_has_ended():
    out = Terminal()
    progress = Progress(out, Clock())
    progress.show([one("running", index=0, label="FB"), one("running", index=1, label="GOOG")], {})
    out.truncate(0)
    progress.show(
        [one("success", index=0, label="FB", ended="x"), one("running", index=1, label="GOOG")], {}
    )
    text = out.getvalue()
    assert "\x1b[2A\x1b[J" in text
    assert text.index("task[FB]") < text.index("task[GOOG]")


def test_a_terminal_shows_no_more_lines_than_it_can_redraw(monkeypatch):
    monkeypatch.setenv("LINES", "6")
    out = Terminal()
    waiting = [one("queued", index=index) for index in range(50)]
    Progress(out, Clock()).show([*waiting, one("running", index=50, label="GOOG")], {})
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert "task[GOOG]" in lines[0]


def test_a_retry_is_shown_with_its_number():
    out = io.StringIO()
    Progress(out, Clock()).show([one("running", attempt=2)], {})
    assert "running (try 2)" in out.getvalue()


def test_instances_that_ended_together_come_in_the_order_in_which_they_ended():
    out = io.StringIO()
    late = TaskInstance("dag", "run", "judge", -1, "", "success", 1, 1.0, "2026-01-05T08:00:02Z")
    early = TaskInstance("dag", "run", "train", -1, "", "success", 1, 1.0, "2026-01-05T08:00:01Z")
    Progress(out, Clock()).show([late, early], {})
    assert out.getvalue().index("train") < out.getvalue().index("judge")


def write_log(path, *records):
    path.write_text("\n".join(json.dumps(record) for record in records) + "\nnot json\n")


def test_only_the_packages_own_words_are_repeated(tmp_path):
    log_file = tmp_path / "attempt=1.log"
    assert last_said(log_file) == ""
    write_log(
        log_file,
        {"logger": "transfergate.learning.ppo", "event": "epoch 3/6  reward 0.1"},
        {"logger": "airflow.task", "event": "something else"},
    )
    assert last_said(log_file) == "epoch 3/6 reward 0.1"


def test_a_logs_tail_shows_exceptions_with_their_text(tmp_path):
    log_file = tmp_path / "attempt=1.log"
    write_log(
        log_file,
        {"level": "error", "event": "Task failed with exception",
         "error_detail": [{"exc_type": "BarsRejected", "exc_value": "5 of 5 tickers failed"}]},
    )  # fmt: skip
    text = "\n".join(readable_tail(log_file, 10))
    assert "BarsRejected: 5 of 5 tickers failed" in text
    assert "not json" in text
