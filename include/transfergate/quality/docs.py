"""Data Docs that open without a network: Great Expectations' pages made local, and all assets.

``index.html`` lists the batches, ``batches/<batch_id>.html`` shows what was found in one, and
``batches/<batch_id>/quarantine.html`` its refused rows; all of these are ours. Great Expectations'
own page of the run lies below ``gx/``.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from transfergate.quality.markup import SITE
from transfergate.quality.suite import SUITE_NAME
from transfergate.storage import ArtefactStore

_ASSETS = Path(__file__).parent / "assets"
_LOCAL = (
    *("bootstrap.min.css", "bootstrap.bundle.min.js", "jquery.min.js", "icons.css"),
    *("pages.css", "quarantine.js", "gx.css", "theme.js"),
)
SCRIPTS = tuple(name for name in _LOCAL if name.endswith(".js"))
"""Scripts below ``assets``; no page of the Data Docs needs another one but Great Expectations'."""
_REPLACED = {
    "/bootstrap.min.css": "bootstrap.min.css",
    "/jquery-3": "jquery.min.js",
    "/bootstrap.min.js": "bootstrap.bundle.min.js",
    "font-awesome": "icons.css",
}
_REMOTE_TAG = re.compile(
    r"<script[^>]*\ssrc=\"(https?://[^\"]+)\"[^>]*>\s*</script>"
    r"|<link[^>]*\shref=\"(https?://[^\"]+)\"[^>]*>",
)
_REMOTE_LOGO = re.compile(r"src=\"https?://[^\"]*/logo-long\.png[^\"]*\"")
# Great Expectations counts one folder too few for it.
_ICON = re.compile(r"href=\"(?:\.\./)*static/images/favicon\.ico\"")
# Its own dark style knows tables only, and fetches a picture from a network.
_HALF_DARK = re.compile(r"/\* some css overrides for dark mode\s*\*/.*?(?=</style>)", re.DOTALL)
# An advertisement over the lower edge of the page, and a way out of the network.
_NEWSLETTER = re.compile(r"<footer>(?:(?!</footer>).)*newsletter.*?</footer>", re.DOTALL)
_GX = f"{SITE}/gx"


def publish_gx_pages(store: ArtefactStore, rendered: Path, batch_id: str) -> None:
    """Put what Great Expectations rendered for one run among the Data Docs.

    The pages load nothing from a network afterwards. A batch has one page: that of its last run.

    Args:
        store: The artefact root.
        rendered: Folder of a site with this run alone.
        batch_id: Name of the run.
    """
    for name in _LOCAL:
        _keep(store, f"{SITE}/assets/{name}", (_ASSETS / name).read_bytes())
    for path in sorted((rendered / "static").rglob("*")):
        if path.is_file() and path.suffix != ".gif":
            _keep(store, f"{_GX}/{path.relative_to(rendered).as_posix()}", path.read_bytes())
    # Its home page would know only this run, so ours stands in for it.
    home = '<!doctype html><meta http-equiv="refresh" content="0; url=../index.html">\n'
    _keep(store, f"{_GX}/index.html", home.encode())
    for page in sorted(rendered.glob("expectations/*.html")):
        key = f"{_GX}/expectations/{page.name}"
        store.replace(key, _local(page.read_text(encoding="utf-8"), "../../").encode())
    (page,) = rendered.glob(f"validations/{SUITE_NAME}/{batch_id}/*/*.html")
    local = _local(page.read_text(encoding="utf-8"), "../" * 5)
    store.replace(gx_page_key(batch_id), local.encode())


def gx_page_key(batch_id: str) -> str:
    """Artefact key of Great Expectations' page of a batch."""
    # As deep as Great Expectations puts it, so that its relative links hold.
    return f"{_GX}/validations/{SUITE_NAME}/{batch_id}/last/bars.html"


def _keep(store: ArtefactStore, key: str, content: bytes) -> None:
    if not store.exists(key) or store.read(key) != content:
        store.replace(key, content)


def _local(page: str, up: str) -> str:
    page = _REMOTE_TAG.sub(partial(_local_tag, up), page)
    page = _NEWSLETTER.sub("", _HALF_DARK.sub("", page))
    ours = (
        f'<link rel="stylesheet" href="{up}assets/gx.css">'
        f'<script src="{up}assets/theme.js"></script>'
    )
    page = page.replace("</head>", f"{ours}</head>", 1)
    page = _ICON.sub(f'href="{up}gx/static/images/favicon.ico"', page)
    return _REMOTE_LOGO.sub(f'src="{up}gx/static/images/logo-long.png"', page)


def _local_tag(up: str, tag: re.Match[str]) -> str:
    # One of ours instead of what it replaces; the rest serves charts that these pages lack.
    url = tag.group(1) or tag.group(2)
    name = next((local for part, local in _REPLACED.items() if part in url), None)
    if name is None:
        return ""
    if tag.group(1):
        return f'<script src="{up}assets/{name}"></script>'
    return f'<link rel="stylesheet" href="{up}assets/{name}">'
