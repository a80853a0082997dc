"""What .ci/run demands of the results that make retrain wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def rerun(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """A second run makes nothing new and comes to the same verdicts."""
    faults = []
    if not second["bars"]["already_loaded"] and second["bars"]["new_revisions"]:
        faults.append(f"bars were loaded again: {second['bars']}")
    if second["features"]["created"]:
        faults.append(f"a second snapshot was published: {second['features']}")
    if second["foundation"]["registered"]:
        faults.append(f"the foundation was registered again: {second['foundation']}")
    if second["promotions"]["promoted"]:
        faults.append(f"something was promoted again: {second['promotions']}")
    for name, key in (("features", "snapshot_id"), ("foundation", "foundation_version")):
        if first[name][key] != second[name][key]:
            faults.append(f"{key}: {first[name][key]} then {second[name][key]}")
    for key in ("evaluation_id", "summary"):
        if first[key] != second[key]:
            faults.append(f"{key} differs between the two runs")
    return faults


def synthetic(result: dict[str, Any]) -> list[str]:
    """Transfer helps the target that shares the sources' structure and harms the opposed one."""
    expected = {"SHARED": "PROMOTE", "OPPOSED": "REJECT_NEGATIVE_TRANSFER"}
    tickers = result["summary"]["tickers"]
    found = {ticker: tickers[ticker]["verdict"] for ticker in expected}
    faults = [] if found == expected else [f"verdicts {found}, expected {expected}"]
    if result["promotions"]["promoted"] != ["SHARED"]:
        faults.append(f"promoted {result['promotions']['promoted']}, expected SHARED alone")
    return faults


def main() -> int:
    """Run one of the two checks on result files; prints what is wrong."""
    check = {"rerun": rerun, "synthetic": synthetic}[sys.argv[1]]
    faults = check(*(json.loads(Path(name).read_text()) for name in sys.argv[2:]))
    sys.stdout.write("\n".join(faults) + "\n" if faults else f"{sys.argv[1]}: as promised\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
