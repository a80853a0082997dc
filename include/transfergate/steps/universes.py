"""Whether those who shall teach and be taught have bars at all: asked before any is fetched."""

from __future__ import annotations

from collections.abc import Sequence

from transfergate.errors import SettingsError, SourceError
from transfergate.settings import Settings, SourceParams, UniverseParams
from transfergate.sources import Source, open_source
from transfergate.sources.description import described, read_description
from transfergate.sources.folder import Folder
from transfergate.sources.tables import read_declared, read_symbols
from transfergate.steps.chain import newest
from transfergate.storage import open_snapshot, open_store

_SHOWN = 60


def require_universe(
    settings: Settings,
    *,
    source: str | None = None,
    data: str | None = None,
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> None:
    """Refuse a universe that names a ticker which neither the source has nor the last snapshot.

    A misspelt source would be found out after ingest and features; a misspelt target never, and
    everybody who does not teach would be taught instead.

    Args:
        settings: Settings.
        source: Name of a source in the settings; None for the default one.
        data: Folder of bar files, for a source of kind ``files``; None for its own.
        sources: Who teaches; empty: whom settings and folder name.
        targets: Who is taught; empty: whom settings and folder name.

    Raises:
        SourceError: Naming each such ticker, and what there is.
    """
    name = source or settings.ingest.source
    params = settings.source(name)
    params = params.model_copy(update={"root": data}) if data else params
    params = described(params, read_description(params))
    chosen = {"sources": tuple(sources), "targets": tuple(targets)}
    chosen = {group: tickers for group, tickers in chosen.items() if tickers}
    named = named_tickers(params.universe.model_copy(update=chosen))
    opened = open_source(params, settings.home / "fetching")
    if not named or not opened.lists_all:
        return
    if found := absent(settings, name, params, opened, named):
        missing, known = found
        more = f", … ({len(known)} in all)" if len(known) > _SHOWN else ""
        raise SourceError(
            f"the universe of source {name!r} names {', '.join(missing)}, of which there are no "
            f"bars in {params.root or name} and none in its last snapshot; there are "
            f"{', '.join(known[:_SHOWN])}{more}: correct SOURCES and TARGETS, or the universe in "
            f"source.toml or the settings"
        )


def named_tickers(universe: UniverseParams) -> set[str]:
    """Every ticker that a universe names."""
    return {*universe.sources, *universe.targets, *([universe.index] if universe.index else [])}


def absent(
    settings: Settings, name: str, params: SourceParams, opened: Source, named: set[str]
) -> tuple[list[str], list[str]] | None:
    """Tickers that nobody has, and those that there are; None where all are there.

    Args:
        settings: Settings.
        name: Of the source.
        params: The source's, with what its folder says.
        opened: The source.
        named: Tickers, as features and models name them: after the map of symbols.
    """
    known = set(opened.tickers())
    folder = Folder(params.root) if params.root else None
    uses = read_declared(folder, params.symbols, read_symbols) if folder else None
    if uses is not None:
        pairs = zip(uses["symbol"].to_pylist(), uses["ticker"].to_pylist(), strict=True)
        held = [(symbol, ticker) for symbol, ticker in pairs if symbol in known]
        known -= {symbol for symbol, _ in held}
        known |= {ticker for _, ticker in held if ticker}
    if missing := sorted(named - known):
        known |= set(_on_file(settings, name))
        missing = sorted(named - known)
    return (missing, sorted(known)) if missing else None


def _on_file(settings: Settings, source: str) -> list[str]:
    try:
        snapshot = newest(settings, "snapshots", source)
    except SettingsError:
        return []
    manifest = open_snapshot(open_store(settings), snapshot).manifest
    return [*manifest["tickers"], *manifest["index"]]
