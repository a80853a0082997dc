from __future__ import annotations

import logging
import re
import threading

import pytest

from transfergate.progress import Progress, duration


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_lines_come_at_a_steady_rhythm_with_share_rate_and_time_left(lines):
    clock = Clock()
    for _ in Progress("fetch from files", 200, "tickers", clock).over(range(200)):
        clock.now += 0.5
    assert len(lines()) == 20
    assert lines()[0] == "fetch from files: 10 of 200 tickers (5 %), 2/s, 1 min 35 s left"
    assert lines()[-1] == "fetch from files: 200 of 200 tickers (100 %), 2/s, 0 s left"
    shares = [int(re.search(r"\((\d+) %\)", line)[1]) for line in lines()]
    assert shares == sorted(shares)


def test_the_end_is_said_even_between_two_lines(lines):
    clock = Clock()
    progress = Progress("load", 7, "tickers", clock)
    for _ in range(7):
        clock.now += 1.0
        progress.add()
    assert [line.split(" tickers")[0] for line in lines()] == ["load: 5 of 7", "load: 7 of 7"]


def test_short_work_is_quiet(lines):
    clock = Clock()
    for _ in Progress("fetch", 3, "tickers", clock).over(range(3)):
        clock.now += 1.0
    assert lines() == []


def test_items_may_weigh_more_than_one_and_come_through_unchanged(lines):
    clock = Clock()
    found = []
    for rows in Progress("validate", 2_500_000, "rows", clock).over([500_000, 2_000_000], int):
        found.append(rows)
        clock.now += 10.0
    assert found == [500_000, 2_000_000]
    assert lines()[0] == "validate: 500000 of 2500000 rows (20 %), 50,000/s, 40 s left"


def test_threads_may_count_at_once(lines):
    clock = Clock()
    progress = Progress("features", 4000, "tickers", clock)
    threads = [threading.Thread(target=lambda: [progress.add() for _ in range(1000)])
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now = 5.0
    progress.add(0)
    assert "4000 of 4000 tickers (100 %)" in lines()[-1]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (95, "1 min 35 s"), (7260, "2 h 1 min")]
)
def test_a_duration_is_said_as_people_say_it(seconds, said):
    assert duration(seconds) == said
