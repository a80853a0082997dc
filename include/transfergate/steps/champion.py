"""Scoring a ticker's champion on the folds of another recipe's record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from transfergate.errors import MarketError, StorageUnavailable, TransferGateError
from transfergate.evaluation.baselines import Path
from transfergate.evaluation.gate.guards import MIN_CHAMPION_SESSIONS
from transfergate.evaluation.ledger import RECORD, Ledger, fold_key
from transfergate.evaluation.splits import Fold
from transfergate.learning import Weights
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams
from transfergate.storage import ArtefactStore, Snapshot
from transfergate.transfer import audits
from transfergate.transfer.arms import FINETUNED
from transfergate.transfer.bundles import read_bundle, read_weights
from transfergate.transfer.replay import check_accounting
from transfergate.transfer.scoring import ledger_rows, model_paths, test_window

log = logging.getLogger(__name__)

# What a champion's bundle says of its inputs, and where a snapshot's manifest says the same.
INPUTS = {
    "source": "source",
    "feature_sql_hash": "sql_hash",
    "z_window": "z_window",
    "z_clip": "z_clip",
    "features": "features",
}


def score_champion(
    snapshot: Snapshot,
    panel: Panel,
    folds: Sequence[Fold],
    *,
    recipe: str,
    version: str,
    cost_bps: float,
) -> int:
    """Append the champion's rows to the record, of each fold that its weights have not seen.

    A fold is scored with its recipe's own weights of that fold where they were kept, else with
    the promoted weights if the fold's test is later than all they learnt from. The champion keeps
    its own burn-in and positions and pays today's cost. Rows that are there are not computed
    again.

    Args:
        snapshot: What the panel was built from.
        panel: The ticker alone.
        folds: Folds with a test.
        recipe: The recipe whose record the rows belong to.
        version: The champion's version.
        cost_bps: What trading costs in the market of the record, in basis points.

    Returns:
        Number of folds that were scored; 0 if the champion reads other inputs.

    Raises:
        MarketError: If rows do not follow from positions, prices and costs.
    """
    store, ticker = snapshot.store, panel.tickers[0]
    ledger = Ledger(store)
    open_folds = [
        fold for fold in folds if not ledger.holds_champion(recipe, ticker, fold.number, version)
    ]
    if not open_folds:
        return 0
    bundle = read_bundle(store, ticker, version)
    other = differing_inputs(bundle, snapshot)
    if other:
        log.warning("%s: champion %s not scored, other inputs: %s", ticker, version, other)
        return 0
    market = MarketParams.model_validate({**bundle["market"], "cost_bps": cost_bps})
    network = NetworkParams.model_validate(bundle["network"])
    scored = 0
    for fold in open_folds:
        found = _unseen_weights(store, bundle, panel, fold)
        if found is None:
            continue
        weights, flat = found
        on_device = {name: tensor.to(panel.features.device) for name, tensor in weights.items()}
        paths = model_paths(
            panel, on_device, test_window(fold), market, network, bundle["burn_in_sessions"]
        )
        rows = ledger_rows(panel, fold, [_mean(paths, flat)])
        _check(rows, panel, market, fold, version)
        scored += ledger.append_champion(recipe, ticker, fold.number, version, rows)
    return scored


def audited(
    ledger: Ledger, recipe: str, ticker: str, version: str, score: Callable[[], None]
) -> dict[str, Any]:
    """Score a champion, and state how its rows came about.

    Its own defects are not the candidate's and only cost it the comparison; rows that its weights
    did not make fail the audit.
    """
    problem = None
    try:
        score()
    except MarketError as error:
        problem = str(error)
        log.warning("%s: champion's rows refused: %s", ticker, error)
    except StorageUnavailable:  # else a candidate would not face the champion
        raise
    except TransferGateError as error:
        log.warning("%s: champion not scored: %s", ticker, error)
    folds = [
        fold
        for fold in ledger.folds(recipe, ticker)
        if ledger.holds_champion(recipe, ticker, fold, version)
    ]
    return audits.champion(version, len(folds), problem)


def _check(rows: pa.Table, panel: Panel, market: MarketParams, fold: Fold, version: str) -> None:
    """Refuse rows that do not follow from the champion's positions: figures from elsewhere."""
    counts = check_accounting(rows, panel, market, test_window(fold), averaged=True)
    wrong = {name: n for name, n in counts.items() if name != "rows" and n}
    if wrong:
        raise MarketError(
            f"{panel.tickers[0]} {fold.name}: rows of champion {version} do not follow from its "
            f"positions, the prices and the costs: {wrong} of {counts['rows']}, expected none; "
            f"nothing was written: score it by running its weights again"
        )


def differing_inputs(bundle: dict[str, Any], snapshot: Snapshot) -> list[str]:
    """Names of the inputs in which a bundle and a snapshot differ; a missing one differs."""
    return [
        name for name, key in INPUTS.items() if bundle.get(name) != snapshot.manifest.get(key, "")
    ]


def why_not_compared(
    store: ArtefactStore, ticker: str, version: str, candidate: str, n_sessions: int
) -> str:
    """Why a champion's guard could not be evaluated, for a trader.

    Args:
        store: Where the bundles are.
        ticker: The target.
        version: The champion.
        candidate: The candidate, which reads today's inputs.
        n_sessions: Sessions of the record that the champion was scored on.
    """
    ours, theirs = (read_bundle(store, ticker, name) for name in (candidate, version))
    other = [name for name in INPUTS if ours.get(name) != theirs.get(name)]
    why = (
        f"it reads other inputs ({', '.join(other)})"
        if other
        else f"of these sessions only {n_sessions} are scored with weights that had not seen them, "
        f"and {MIN_CHAMPION_SESSIONS} are needed"
    )
    return f"The champion {version} was not compared, so its guard was not evaluated: {why}."


def _unseen_weights(
    store: ArtefactStore, bundle: dict[str, Any], panel: Panel, fold: Fold
) -> tuple[Weights, bool] | None:
    """Weights that know nothing of the fold's test, and whether they stay flat; or None."""
    ticker, test = bundle["ticker"], test_window(fold)
    dates = [str(panel.sessions[test.first]), str(panel.sessions[test.stop - 1])]
    folder = fold_key(bundle["recipe"], ticker, fold.number)
    if store.exists(f"{folder}/{RECORD}"):
        record = store.read_json(f"{folder}/{RECORD}")
        if record["windows"]["test"] == dates:
            flat = record["arms"][FINETUNED]["choice"] is None
            key = f"{folder}/weights.safetensors"
            return read_weights(store, key, record["weights_sha256"]), flat
        log.warning("%s: %s had other test sessions for the champion", ticker, fold.name)
    if bundle["last_session"] < dates[0]:
        key = f"candidates/{ticker}/{bundle['version']}/weights.safetensors"
        return read_weights(store, key, bundle["weights_sha256"]), bool(bundle["flat"])
    return None


def _mean(paths: Sequence[Path], flat: bool) -> Path:
    """Equal sub-accounts; nothing at all if the recipe chose to stay flat."""
    share = 0.0 if flat else 1.0 / len(paths)
    columns = ("net_return", "position", "turnover", "cost")
    return Path(*(sum(getattr(path, name) for path in paths) * share for name in columns))
