"""Data quality: batches, their Data Docs, their quarantine."""

from __future__ import annotations

from fastapi.responses import FileResponse, HTMLResponse

from transfergate import settings
from transfergate.orchestration.ui.guard import BATCHES, guarded, serve
from transfergate.orchestration.ui.links import ours
from transfergate.orchestration.ui.markup import element, link
from transfergate.orchestration.ui.shell import page

router = guarded(BATCHES)


@router.get("/batches", response_class=HTMLResponse)
def batches() -> str:
    """Every batch of bars."""
    docs = link(ours("data_docs", "index.html"), "Data Docs: what was checked")
    return page("Data quality", element("p", docs), active="batches")


@router.get("/data_docs/{path:path}")
def data_docs_file(path: str) -> FileResponse:
    """One page of the data-quality reports."""
    return serve(settings.load().artefact_root / "data_docs", path)
