"""What every group of settings shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

TICKER_PATTERN = r"^[A-Za-z0-9^][A-Za-z0-9.^=&_\-]{0,19}$"
Ticker = Annotated[str, Field(pattern=TICKER_PATTERN)]


class Params(BaseModel):
    """Base of every group of settings: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
