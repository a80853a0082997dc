"""What counts as overhead and what as work, on records made up by hand."""

from __future__ import annotations

import json

import pytest

from benchmarks._overhead import Ran, first_word, of_run, overheads, ran, together


def task(task_id, start, end, index=-1, start_up=0.0):
    return Ran(task_id, index, queued=start - 0.5, start=start, end=end, start_up=start_up)


def test_a_task_waits_from_the_end_of_the_one_before_on_its_slot():
    tasks = [task("f", 2, 10, 0), task("f", 3, 20, 1), task("f", 11.5, 15, 2), task("f", 17, 18, 3)]
    assert overheads(tasks, ready=1.0, slots=2) == [1.0, 2.0, 1.5, 2.0]
    assert overheads(tasks[::-1], ready=1.0, slots=2) == [1.0, 2.0, 1.5, 2.0]


def test_a_slot_more_than_tasks_is_no_overhead():
    assert overheads([task("f", 2, 10, 0)], ready=1.0, slots=4) == [1.0]


def test_tasks_that_follow_wait_for_the_last_before_them():
    tasks = [task("plan", 1, 2), task("f", 3, 9, 0), task("f", 4, 12, 1), task("judge", 12.5, 22.5)]
    shares = of_run(tasks, ("plan", "f", "judge", "never"), begin=0.0, slots=2)
    assert {name: one.overhead for name, one in shares.items()} == {
        "plan": 1.0,
        "f": 3.0,
        "judge": 0.5,
    }
    every = together(shares)
    assert (every.tasks, every.work, every.overhead) == (4, 25.0, 4.5)
    assert every.of_work == pytest.approx(4.5 / 25)
    assert every.per_task == pytest.approx(4.5 / 4)


def test_start_up_is_overhead_only_in_the_second_share():
    (found,) = of_run([task("f", 1, 11, 0, start_up=2.0)], ("f",), begin=0.0, slots=1).values()
    assert found.of_work == pytest.approx(0.1)
    assert found.of_work_with_start_up == pytest.approx(3 / 8)


def test_a_record_of_airflow_and_its_log(tmp_path):
    entry = {
        "task_id": "finetune",
        "map_index": 3,
        "queued_when": "2026-01-01T00:00:00Z",
        "start_date": "2026-01-01T00:00:02Z",
        "end_date": "2026-01-01T00:00:30.5Z",
    }
    log = tmp_path / "attempt=1.log"
    assert ran(entry, log).start_up == 0.0
    lines = [("airflow.task", "03"), ("transfergate.steps.grouped", "06"), ("transfergate", "09")]
    log.write_text(
        "".join(
            json.dumps({"logger": name, "timestamp": f"2026-01-01T00:00:{at}Z"}) + "\n"
            for name, at in lines
        )
    )
    found = ran(entry, log)
    assert (found.seconds, found.start_up, found.start - found.queued) == (28.5, 4.0, 2.0)
    assert first_word(tmp_path / "none") is None
