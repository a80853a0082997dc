"""The frame around every page: head, skip link, navigation, heading, main part."""

from __future__ import annotations

from collections.abc import Sequence

from transfergate.orchestration.ui.links import ours, static
from transfergate.orchestration.ui.markup import Html, element, html, join, link

SECTIONS = (
    ("overview", "Overview", ()),
    ("evaluations", "Evaluations", ("evaluations",)),
    ("champions", "Champions", ("champions",)),
    ("batches", "Data quality", ("batches",)),
)
"""Pages of the navigation: id, name, parts of the path."""


def page(
    title: str,
    body: object,
    *,
    active: str = "",
    lead: object = "",
    trail: Sequence[tuple[str, str]] = (),
    scripts: Sequence[str] = (),
) -> str:
    """A whole page.

    Args:
        title: Its heading, as text; also the window's title.
        body: The main part: ``Html``, or text that gets escaped.
        active: Id of the section of ``SECTIONS`` that it belongs to.
        lead: A line below the heading.
        trail: Pages above this one, outermost first: name and path.
        scripts: Further files of ``static/``, run after the document was read.
    """
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", f"{title} · Transfergate"),
        Html(f'<link rel="stylesheet" href="{html(static("pages.css"))}">'),
        element("script", src=static("theme.js")),
        *(element("script", src=static(name), defer=True) for name in ("pages.js", *scripts)),
    ]
    crumbs = join((element("li", link(path, name)) for name, path in trail))
    main = [
        element("nav", element("ol", crumbs), class_="trail", aria_label="Way here")
        if trail
        else "",
        element("h1", title),
        element("p", lead, class_="lead") if lead else "",
        html(body),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head>{join(head)}</head><body>'
        f'<a class="skip" href="#main">Skip to the content</a>'
        f'<header>{_navigation(active)}</header><main id="main" tabindex="-1">{join(main)}</main>'
        f"</body></html>\n"
    )


def _navigation(active: str) -> Html:
    items = [
        element(
            "li",
            link(ours(*path), name, aria_current="page" if key == active else None),
        )
        for key, name, path in SECTIONS
    ]
    return element("nav", element("ul", *items), class_="sections", aria_label="Transfergate")
