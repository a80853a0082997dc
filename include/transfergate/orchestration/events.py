"""What the run that woke this DAG had made: the ``extra`` of asset events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from transfergate.orchestration.assets import BARS

_BACKFILL = frozenset({"backfill", "backfill_job"})  # the type's value, and its name


def upstream_extras(
    asset: Asset, triggering_asset_events: Any, inlet_events: Any
) -> list[dict[str, Any]]:
    """Extras of the events that started this run, oldest first.

    A run that no event started (by hand, by the clock, a backfill, ``dag.test``) gets the newest
    event that the asset has, if there is one.

    Args:
        asset: The upstream asset; the task must declare it as an inlet.
        triggering_asset_events: From the task's context; not in time order.
        inlet_events: From the task's context.
    """
    woken_by: Mapping[Any, Iterable[Any]] = triggering_asset_events or {}
    events = list(woken_by[asset]) if asset in woken_by else []
    if not events and inlet_events is not None:
        events = list(inlet_events[asset].ascending(False).limit(1))
    return [dict(event.extra) for event in sorted(events, key=lambda event: event.timestamp)]


def upstream_extra(
    asset: Asset,
    triggering_asset_events: Any,
    inlet_events: Any,
    *,
    needs: str,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Extra of the newest upstream event, overridden by what the run was given by hand.

    Args:
        asset: See ``upstream_extras``.
        triggering_asset_events: See ``upstream_extras``.
        inlet_events: See ``upstream_extras``.
        needs: The key without which the task cannot start.
        given: The run's parameters; a ``None`` there overrides nothing. When ``needs`` itself is
            given, nothing else is taken from the event: it may describe another object.

    Raises:
        ValueError: If neither an event nor a parameter supplies ``needs``.
    """
    explicit = {key: value for key, value in given.items() if value is not None}
    if needs in explicit:
        return explicit
    extras = upstream_extras(asset, triggering_asset_events, inlet_events)
    merged = (extras[-1] if extras else {}) | explicit
    if merged.get(needs) is None:
        raise ValueError(
            f"nothing to start from: asset {asset.name!r} has no event with {needs!r} and the run "
            f"has no parameter {needs!r}; run the upstream DAG first, or trigger this one with "
            f"{needs!r} filled in"
        )
    return merged


def changed_sources(
    given: str | None, triggering_asset_events: Any, inlet_events: Any
) -> list[str]:
    """Sources whose bars the waking loads brought, each once; or the one given by hand.

    Raises:
        ValueError: If there is neither.
    """
    if given is not None:
        return [given]
    extras = upstream_extras(BARS, triggering_asset_events, inlet_events)
    sources = sorted({str(extra["source"]) for extra in extras if extra.get("source")})
    if not sources:
        raise ValueError(
            "no bars were loaded yet and the run has no parameter 'source'; "
            "run ingest_daily_bars first"
        )
    return sources


def who_approved(answer: Mapping[str, Any] | None, run_id: str) -> str:
    """Who the champions' history names for a promotion: the gate alone, or a person after it.

    Args:
        answer: What the approval returned; None where nobody was asked.
        run_id: Of the DAG run.
    """
    if answer is None:
        return f"gate, in run {run_id}"
    person = answer["responded_by_user"]
    return f"{person['name']}, after the gate, in run {run_id}"


def is_backfill(dag_run: Any) -> bool:
    """Whether a backfill has asked for this run: its bars are new, its sessions are not."""
    return str(getattr(dag_run, "run_type", "")).rpartition(".")[2].lower() in _BACKFILL


def by_clock(dag_run: Any) -> bool:
    """Whether the schedule has asked for this run, and no person."""
    return str(getattr(dag_run, "run_type", "")).rpartition(".")[2].lower() == "scheduled"


def all_backfill(asset: Asset, triggering_asset_events: Any) -> bool:
    """Whether nothing but backfills has started this run; False for one that no event started."""
    woken_by: Mapping[Any, Iterable[Any]] = triggering_asset_events or {}
    events = list(woken_by[asset]) if asset in woken_by else []
    return bool(events) and all((event.extra or {}).get("backfill") for event in events)


def skip_backfill(asset: Asset, triggering_asset_events: Any) -> None:
    """End the task as skipped, and all after it, where nothing but backfills has started the run.

    Ten days filled in are ten events, and no reason to train ten times.

    Raises:
        AirflowSkipException: Then.
    """
    if all_backfill(asset, triggering_asset_events):
        raise AirflowSkipException(
            "these features changed by a backfill alone: nothing is trained for it. The next "
            "regular bars do that, or a run of this DAG by hand"
        )
