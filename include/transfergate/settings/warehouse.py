"""Settings of the warehouse process: what it may use of the machine."""

from __future__ import annotations

from pydantic import Field

from transfergate.settings.base import Params


class WarehouseParams(Params):
    """Threads, memory and portions of the features' computation; they change no result."""

    threads: int = Field(2, ge=1, le=256)
    memory_limit_mb: int = Field(
        1000,
        ge=200,
        description="DuckDB's own; beyond it, it writes beside the warehouse file. The batches "
        "in Python come on top",
    )
    batch_bars: int = Field(
        640_000, ge=1000, description="bars computed at once by a thread, about; memory grows"
    )
