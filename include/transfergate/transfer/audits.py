"""Budget, leakage, accounting and selection audits, computed from what the runs recorded.

Every audit is ``{"name", "passed", "figures"}``; a failed one makes the verdict INVALID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transfergate.market.panel import Panel
from transfergate.transfer.choosing import taken

Record = Mapping[str, Any]

PARITY_FIGURES = (
    "sessions",
    "env_steps",
    "updates",
    "trained_models",
    "n_seeds",
    "n_choices",
    "validations",
    "parameters",
)
"""What both arms must have consumed alike, as numbers."""
PARITY_FACTS = ("seeds", "network", "features", "costs")
"""In what else they must agree."""
PARITY_LATER = ("choice_margin",)
"""Facts that older records lack; where one arm has recorded it, the other must agree."""
SHOWN_FIGURES = ("collapsed", "flat_in_test")
"""Seeds that hold nothing throughout validation, and test: shown beside the budgets, never
compared, never a reason to drop a seed."""


def budget_parity(records: Sequence[Record]) -> dict[str, Any]:
    """Compare what both arms consumed on target data, fold by fold.

    Args:
        records: Fold records with ``arms: {finetuned: {...}, scratch: {...}}`` as written by
            the fine-tuning step; each arm holds :data:`PARITY_FIGURES`, counted while it trained,
            and :data:`PARITY_FACTS`.

    Returns:
        The figures are totals per arm, and the first mismatch where there is one; what was not
        recorded is a mismatch.
    """
    totals: dict[str, Any] = {}
    mismatch: dict[str, Any] | None = None
    for figure in (*PARITY_FIGURES, *PARITY_FACTS, *PARITY_LATER):
        values = [
            (record["fold"], *(record["arms"][arm].get(figure) for arm in ("finetuned", "scratch")))
            for record in records
        ]
        if figure in PARITY_FIGURES:
            totals[figure] = {
                "finetuned": sum(value or 0 for _, value, _ in values),
                "scratch": sum(value or 0 for _, _, value in values),
            }
        for fold, left, right in values:
            unknown = left is None and figure not in PARITY_LATER
            if (left != right or unknown) and mismatch is None:
                mismatch = {"fold": fold, "figure": figure, "finetuned": left, "scratch": right}
    for figure in SHOWN_FIGURES:
        if all(figure in run for record in records for run in record["arms"].values()):
            totals[figure] = {
                arm: sum(record["arms"][arm][figure] for record in records)
                for arm in ("finetuned", "scratch")
            }
    figures = {"totals": totals, "mismatch": mismatch}
    return {"name": "budget_parity", "passed": mismatch is None, "figures": figures}


def leakage(records: Sequence[Record], ticker: str, sources: Sequence[str]) -> dict[str, Any]:
    """Check that no arm, and no foundation, saw the sessions it was scored on.

    Args:
        records: Fold records with ``windows`` (ISO dates of the first and last session of train,
            validation and test), ``foundation_last_session`` (latest session that the fold's
            foundation read, counted as it trained, validation included), ``scored`` (first and
            last session scored) and, per arm, ``last_session`` (latest return that training read).
        ticker: The target.
        sources: Tickers that the foundation learnt from.
    """
    problems = []
    if ticker in sources:
        problems.append(f"{ticker} is among the sources of its own foundation")
    seen: set[str] = set()
    for record in records:
        windows, fold, scored = record["windows"], record["fold"], record["scored"]
        if not windows["train"][1] < windows["validation"][0] <= windows["validation"][1]:
            problems.append(f"{fold}: train reaches {windows['train'][1]}, into validation")
        if windows["validation"][1] >= scored[0]:
            problems.append(
                f"{fold}: {windows['validation'][1]} was validated on, scored from {scored[0]}"
            )
        if record["foundation_last_session"] >= scored[0]:
            problems.append(
                f"{fold}: its foundation read {record['foundation_last_session']}, scored from "
                f"{scored[0]}"
            )
        for arm, run in record["arms"].items():
            last = run.get("last_session")
            if last is None or last >= windows["validation"][0]:
                problems.append(
                    f"{fold}: training of {arm} read {last}, expected at most {windows['train'][1]}"
                )
        if scored[0] in seen:
            problems.append(f"{fold}: {scored[0]} is scored in two folds")
        seen.add(scored[0])
    figures = {"folds": len(records), "problems": problems}
    return {"name": "leakage", "passed": not problems, "figures": figures}


def accounting(records: Sequence[Record]) -> dict[str, Any]:
    """Check that every row of the record follows from positions, prices and costs.

    Args:
        records: Fold records with ``accounting``: per arm the counts of
            :func:`transfergate.transfer.replay.check_accounting`.
    """
    rows, problems = 0, []
    for record in records:
        for arm, counts in record.get("accounting", {}).items():
            rows += counts["rows"]
            wrong = {name: n for name, n in counts.items() if name != "rows" and n}
            if wrong:
                problems.append({"fold": record["fold"], "arm": arm, **wrong})
        if "accounting" not in record:
            problems.append({"fold": record["fold"], "arm": "all", "not_recorded": 1})
    figures = {"rows": rows, "problems": problems}
    return {"name": "accounting", "passed": not problems, "figures": figures}


def selection(records: Sequence[Record]) -> dict[str, Any]:
    """Check that nothing was chosen after the test was seen: no seed left out, no other choice.

    Args:
        records: Fold records with ``seeds`` (the seeds that the recipe asks for), per arm what was
            trained, and ``replayed``: per arm what
            :func:`transfergate.transfer.replay.check_seeds` found.
    """
    problems: list[str] = []
    for record in records:
        for arm, run in record["arms"].items():
            where, replayed = f"{record['fold']} {arm}", record.get("replayed", {}).get(arm)
            if run["seeds"] != record.get("seeds"):
                problems.append(f"{where}: seeds are not those that the recipe asks for")
            if run["trained_models"] != run["n_seeds"] * run["n_choices"]:
                problems.append(
                    f"{where}: {run['trained_models']} models were trained, expected "
                    f"{run['n_seeds']} seeds of {run['n_choices']} choices"
                )
            if run["choice"] != _due(run):
                problems.append(
                    f"{where}: choice {run['choice']} is not the one that validation asks for"
                )
            if replayed is None or replayed["other_rows"]:
                problems.append(f"{where}: {_differs(replayed)}")
    figures = {"folds": len(records), "problems": problems}
    return {"name": "selection", "passed": not problems, "figures": figures}


def features(panel: Panel, published: pa.Table, names: Sequence[str]) -> dict[str, Any]:
    """Check that the arms see the published features, bit for bit, and nothing derived since.

    What is published was proved not to look ahead; what is made of it later was not.

    Args:
        panel: The ticker alone, as it is trained on.
        published: The snapshot's table of the ticker.
        names: Its features, in the order that the policy sees.
    """
    own, ready = panel.features[0].cpu().numpy(), panel.ready[0].cpu().numpy()
    dates = published["session_date"].to_numpy().astype("datetime64[D]")
    known = np.isin(dates, panel.sessions)
    values = np.stack([published[name].to_numpy() for name in names], axis=-1)[known]
    expected = np.full((len(panel.sessions), len(names)), np.nan, dtype=np.float32)
    expected[np.searchsorted(panel.sessions, dates[known])] = values
    finite = np.isfinite(expected).all(axis=1)
    differing = ready != finite
    if own.shape == expected.shape:
        differing |= (own != expected).any(axis=1) & ready
    else:
        differing[:] = True
    figures = {"sessions": int(ready.sum()), "differing": int(differing.sum())}
    return {"name": "features", "passed": not differing.any(), "figures": figures}


def champion(version: str, folds: int, problem: str | None) -> dict[str, Any]:
    """State how the champion's rows came about: by running its weights again, or not at all.

    Args:
        version: The champion that the candidate faces.
        folds: Folds of the record that it was scored on.
        problem: Why its rows were refused, if they were.
    """
    figures = {"version": version, "folds": folds, "problem": problem}
    return {"name": "champion", "passed": problem is None, "figures": figures}


def _due(run: Record) -> int | None:
    # Records from before the margin took the best.
    sharpe = run["validation_sharpe"]
    behind = run.get("validation_behind") or [max(sharpe) - one for one in sharpe]
    return taken(sharpe, behind, run.get("choice_margin", 0.0))


def _differs(replayed: Mapping[str, int] | None) -> str:
    if replayed is None:
        return "its seeds were not run again"
    return (
        f"{replayed['other_rows']} rows are not what their seed's weights do when they are run "
        f"again ({replayed['trained']} seeds trained, {replayed['scored']} scored)"
    )
