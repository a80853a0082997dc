"""The pages that Airflow shows under *Transfergate*: evaluations, their reports, Data Docs.

Reads published files only. Airflow does not guard a plugin's app, so each route asks by itself
whether the user may read the DAG that makes what the route shows.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from transfergate import settings

PREFIX = "/transfergate"
EVALUATIONS = Depends(requires_access_dag(method="GET", param_dag_id="finetune_tickers"))
BATCHES = Depends(requires_access_dag(method="GET", param_dag_id="ingest_daily_bars"))

STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }
table { border-collapse: collapse; } td, th { padding: .4rem 1rem; text-align: left; }
tr + tr { border-top: 1px solid #8886; }
"""

app = FastAPI(title="transfergate", docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(HTTPException)
async def refuse(request: Request, error: HTTPException) -> Response:
    """Send a person without a session to the log-in page, and answer others with the status."""
    if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/auth/login?next={quote(request.url.path)}", status_code=307)
    return HTMLResponse(html.escape(str(error.detail)), status_code=error.status_code)


@app.get("/", response_class=HTMLResponse, dependencies=[EVALUATIONS])
def index() -> str:
    """Evaluations, newest first, and the way to Data Docs."""
    root = settings.load().artefact_root
    return page(evaluation_rows(root), has_docs=(root / "data_docs" / "index.html").is_file())


@app.get("/evaluations/{path:path}", dependencies=[EVALUATIONS])
def evaluation_file(path: str) -> FileResponse:
    """One file of an evaluation."""
    return serve(settings.load().artefact_root / "evaluations", path)


@app.get("/data_docs/{path:path}", dependencies=[BATCHES])
def data_docs_file(path: str) -> FileResponse:
    """One page of the data-quality reports."""
    return serve(settings.load().artefact_root / "data_docs", path)


def serve(root: Path, path: str) -> FileResponse:
    """A file below a folder.

    Raises:
        HTTPException: 404 if there is none, or the path leaves the folder (also by a link).
    """
    root = root.resolve()
    try:
        file = (root / path).resolve()
        if file.is_relative_to(root) and file.is_file():
            return FileResponse(file)
    except (OSError, ValueError):  # too long a name, or a null byte
        pass
    raise HTTPException(404, "there is no such page")


def evaluation_rows(root: Path) -> list[tuple[str, datetime]]:
    """Id and time of every evaluation that has a report, newest first."""
    found = [
        (report.parent.name, datetime.fromtimestamp(report.stat().st_mtime, UTC))
        for report in (root / "evaluations").glob("*/report.html")
    ]
    return sorted(found, key=lambda row: row[1], reverse=True)


def page(rows: list[tuple[str, datetime]], *, has_docs: bool) -> str:
    """The index as HTML."""
    body = "".join(
        f'<tr><td><a href="evaluations/{quote(name)}/report.html">{html.escape(name)}</a></td>'
        f"<td>{made:%Y-%m-%d %H:%M} UTC</td></tr>"
        for name, made in rows
    )
    table = f"<table><tr><th>Evaluation</th><th>Judged</th></tr>{body}</table>"
    nothing = "<p>Nothing was judged yet: run the DAG <code>ingest_daily_bars</code>.</p>"
    docs = '<p><a href="data_docs/index.html">Data quality: what was checked</a></p>'
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Transfergate</title>"
        f"<style>{STYLE}</style></head><body><h1>Transfergate</h1>"
        f"{table if rows else nothing}{docs if has_docs else ''}</body></html>"
    )
