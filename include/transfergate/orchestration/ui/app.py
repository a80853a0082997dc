"""The app that Airflow mounts at ``/transfergate``: every page's router, assets, refusals."""

from __future__ import annotations

import logging
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException as AnyHttpException

from transfergate.errors import TransferGateError
from transfergate.orchestration.redaction import hidden
from transfergate.orchestration.ui import champions, lineage, overview, quality, report, runs
from transfergate.orchestration.ui.guard import for_users, serve
from transfergate.orchestration.ui.links import PREFIX, base, ours
from transfergate.orchestration.ui.markup import element, empty, link
from transfergate.orchestration.ui.shell import page

__all__ = ["PREFIX", "app"]

log = logging.getLogger(__name__)

STATIC = Path(str(files("transfergate.orchestration.ui") / "static"))
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}

app = FastAPI(title="transfergate", docs_url=None, redoc_url=None, openapi_url=None)
assets = for_users()


@assets.get("/static/{path:path}")
def asset(path: str) -> FileResponse:
    """A style sheet, script or library; its address changes with its content."""
    return serve(STATIC, path, FOR_EVER)


@app.exception_handler(AnyHttpException)
async def refuse(request: Request, error: HTTPException) -> Response:
    """Send a person without a session to the log-in page, and answer others with the status."""
    wants_page = "text/html" in request.headers.get("accept", "")
    if error.status_code == 401 and wants_page:
        return RedirectResponse(_login(request), status_code=307)
    if error.status_code == 404 and wants_page:
        body = empty(str(error.detail), link(ours(), "Go to the overview"))
        return HTMLResponse(page("Not found", body), status_code=404)
    return PlainTextResponse(str(error.detail), status_code=error.status_code)


@app.exception_handler(TransferGateError)
async def explain(request: Request, error: TransferGateError) -> Response:
    """Say what keeps a page from being made: settings that do not hold, a store that is away."""
    log.error("%s: %s", request.url.path, error)
    body = empty("This page cannot be made now", element("pre", hidden(str(error))))
    return HTMLResponse(page("Not now", body), status_code=503)


def _login(request: Request) -> str:
    """The log-in page, and the way back here with what was asked for: a path, never a host."""
    path = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    here = base() + PREFIX + quote(path)
    if request.url.query:
        here += f"?{request.url.query}"
    way = get_auth_manager().get_url_login()
    return f"{way}{'&' if '?' in way else '?'}next={quote(here)}"


for router in (
    *(module.router for module in (overview, report, champions, lineage, quality)),
    lineage.batches,
    runs.dags,
    runs.runs,
    assets,
):
    app.include_router(router)
