"""Champions: which version of each ticker serves, since when and why, and the way back."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

from transfergate.orchestration.ui.guard import EVALUATIONS, guarded
from transfergate.orchestration.ui.shell import page

router = guarded(EVALUATIONS)


@router.get("/champions", response_class=HTMLResponse)
def champions() -> str:
    """The champion of every ticker."""
    return page("Champions", "", active="champions")
