"""Where bars come from: ask for tickers and a date range, get a table of bars as received.

A source is an object with the methods of :class:`Source`; adding one is one module here and one
branch in :func:`open_source`. Sources never repair a row: what is wrong stays visible and is
judged by ``quality``.
"""

from __future__ import annotations

from pathlib import Path

from transfergate.errors import SettingsError
from transfergate.settings import SourceParams
from transfergate.sources.base import Source
from transfergate.sources.files import FilesSource
from transfergate.sources.sample import SampleSource
from transfergate.sources.synthetic import SyntheticSource
from transfergate.sources.yahoo import YahooSource

__all__ = ["FilesSource", "SampleSource", "Source", "SyntheticSource", "YahooSource", "open_source"]


def open_source(params: SourceParams, kept: Path = Path("var/fetching")) -> Source:
    """Open the source that the settings name.

    Args:
        params: Its settings.
        kept: Folder where a source may keep what it got of an interrupted fetch, and what the
            next one need not find out again.

    Raises:
        SettingsError: If ``files`` is asked for without a folder.
        SourceError: If the source's data cannot be found.
    """
    match params.kind:
        case "sample":
            return SampleSource()
        case "synthetic":
            return SyntheticSource(params.synthetic)
        case "files":
            if params.root is None:
                raise SettingsError(
                    "sources.<name>.root: a source of kind 'files' reads a folder and none is "
                    "named: give --data FOLDER (or DATA=<folder>), or set root in the settings"
                )
            return FilesSource(params.root, params, kept / "files")
        case "yahoo":
            universe = params.universe
            index = [universe.index] if universe.index else []
            names = [*universe.sources, *universe.targets, *index]
            return YahooSource(names, params.yahoo, kept / "yahoo")
