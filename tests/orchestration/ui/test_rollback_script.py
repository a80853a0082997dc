"""What the rollback's script tells a person, run in Node on a page of a form and a button."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import playwright
import pytest

NODE = Path(playwright.__file__).parent / "driver/node"  # comes with the browser tests' package
SCRIPT = Path(__file__).parents[3] / "include/transfergate/orchestration/ui/static/rollback.js"
PAGE = """
const answers = JSON.parse(process.argv[1]);
const outcome = { dataset: {}, replaceChildren(...parts) { this.parts = parts; } };
const button = { disabled: false };
const form = {
  dataset: { ticker: "AAA", champion: "a2", api: "/api", dag: "/dags/d", done: "/d", login: "/l" },
  elements: { why: { value: "because" } },
  querySelector: (what) => (what === "button" ? button : outcome),
  addEventListener: (_, act) => { form.submit = act; },
};
globalThis.document = {
  getElementById: () => form,
  createElement: () => ({ setAttribute() {}, toString() { return this.href; } }),
};
globalThis.fetch = async () => {
  const [status, body] = answers.shift();
  if (!status) throw new TypeError("Failed to fetch");
  return { ok: status < 300, status, statusText: "", json: async () => body };
};
"""
SUBMIT = """
form.submit({ preventDefault() {} }).then(() => process.stdout.write(outcome.parts.join("")));
"""
ASKED = [[200, {"is_paused": False}], [200, {"dag_run_id": "r1"}]]


def told(answers: list[list[object]]) -> str:
    """What stands on the page after Airflow has answered so; a status of 0 is no answer."""
    code = PAGE + SCRIPT.read_text() + SUBMIT
    command = [str(NODE), "-e", code, json.dumps(answers)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("answers", "expected", "changed"),
    [
        ([*ASKED, [200, {"state": "success"}]], "Rolled back", True),
        ([*ASKED, [500, {}]], "/dags/d/runs/r1", True),
        ([*ASKED, [401, {}]], "/dags/d/runs/r1", True),
        ([*ASKED, [0, {}]], "/dags/d/runs/r1", True),
        ([ASKED[0], [0, {}]], "see what serves now", True),
        ([ASKED[0], [403, {}]], "Nothing was changed", False),
    ],
)
def test_nothing_was_changed_is_said_only_where_that_is_known(answers, expected, changed):
    shown = told(answers)
    assert expected in shown
    assert ("Nothing was changed" in shown) is not changed
