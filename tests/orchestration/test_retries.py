"""Refusals fail at once; a busy warehouse and a lost process are tried again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import RetryAction

from transfergate import errors
from transfergate.orchestration.notify import failure_line
from transfergate.orchestration.retries import DEFAULTS, TRAINING, WAREHOUSE


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.WarehouseBusy("held by 12"), RetryAction.RETRY),
        (errors.StorageUnavailable("SlowDown"), RetryAction.RETRY),
        (errors.SourceUnavailable("no answer"), RetryAction.RETRY),
        (errors.BarsRejected("20 % bad"), RetryAction.FAIL),
        (errors.SourceError("no such ticker"), RetryAction.FAIL),
        (ValueError("nothing to start from"), RetryAction.FAIL),
        (OSError("disk"), RetryAction.DEFAULT),
        (RuntimeError("CUDA"), RetryAction.DEFAULT),
    ],
)
def test_each_failure_gets_the_retry_that_could_help_it(error, action):
    decision = DEFAULTS["retry_policy"].evaluate(error, try_number=1, max_tries=2)
    assert decision.action is action


def test_every_task_may_be_tried_again():
    assert min(rules["retries"] for rules in (DEFAULTS, WAREHOUSE, TRAINING)) >= 1


def test_a_failure_is_one_line_that_names_everything():
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=3, try_number=2)
    line = failure_line({"ti": ti, "exception": errors.BarsRejected("first\nsecond")})
    assert "\n" not in line
    assert "dag=d run=r task=t map_index=3 try=2 error=first second" in line
