"""The assets that link the DAGs; each event's ``extra`` names what was made.

BARS        {"source", "batch_id", "received", "loaded", "quarantined", …}   from load
FEATURES    {"source", "snapshot_id", …}                                     from build
FOUNDATION  {"foundation_version", "snapshot_id", "targets", …}              from register
PROMOTIONS  {"evaluation_id", "promoted", "kept"} from promote, {"rolled_back"} from roll_back
"""

from __future__ import annotations

from airflow.sdk import Asset

BARS = Asset(name="bars", uri="x-transfergate://warehouse/bars")
FEATURES = Asset(name="features", uri="x-transfergate://artefacts/snapshots")
FOUNDATION = Asset(name="foundation", uri="x-transfergate://artefacts/foundations")
PROMOTIONS = Asset(name="promotions", uri="x-transfergate://artefacts/champions")

CHAIN = ("ingest_daily_bars", "build_features", "pretrain_foundation", "finetune_tickers")
"""DAG ids in the order in which the assets above start them."""

BY_HAND = ("roll_back_champion",)
"""DAG ids that nothing but a person starts."""

MAINTENANCE = ("prune_artefacts",)
"""DAG ids that keep the installation in order; no asset starts them."""
