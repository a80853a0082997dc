"""Text and HTML told apart by type: a plain ``str`` is text and gets escaped, ``Html`` does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

LONG = 60
"""A fact of more characters stands in a row of its own."""


class Html(str):
    """HTML that was put together here; everything that came from data is escaped in it."""

    __slots__ = ()


def html(value: object) -> Html:
    """``Html`` as it is, anything else as escaped text; None as a dash."""
    if isinstance(value, Html):
        return value
    return Html("-" if value is None else escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after another, those that are text escaped."""
    return Html(escape(between).join(html(part) for part in parts))


def attributes(**named: object) -> str:
    """Attributes with a space before each; ``_`` becomes ``-``, None and False are left out."""
    found = ""
    for name, value in named.items():
        if value is None or value is False:
            continue
        key = name.rstrip("_").replace("_", "-")
        found += f" {key}" if value is True else f' {key}="{escape(str(value))}"'
    return found


def element(tag: str, *content: object, **named: object) -> Html:
    """An element: ``element("p", "text", class_="note")``."""
    return Html(f"<{tag}{attributes(**named)}>{join(content)}</{tag}>")


def link(href: str, text: object, **named: object) -> Html:
    """A link to one of our pages: it stays where it is, inside Airflow's frame or outside."""
    return element("a", text, href=href, **named)


def airflow_link(href: str, text: object, **named: object) -> Html:
    """A link to one of Airflow's own pages: it replaces the page around the frame.

    The frame's sandbox forbids that to the browser; ``pages.js`` asks the page around it to go.
    """
    return element("a", text, href=href, target="_top", data_airflow=True, **named)


def facts(pairs: Sequence[tuple[str, object]], **named: object) -> Html:
    """Names and values side by side."""
    cells = [
        element(
            "div",
            element("dt", name),
            element("dd", value),
            class_="whole"
            if isinstance(value, str) and not isinstance(value, Html) and len(value) > LONG
            else None,
        )
        for name, value in pairs
        if value is not None and value != ""
    ]
    return element("dl", *cells, class_="facts", **named)


def badge(text: object, tone: str, symbol: str = "") -> Html:
    """A word in a colour, with a symbol: colour is never the only sign.

    Args:
        text: The word.
        tone: ``good, bad, guard, open, broken, warn`` or ``calm``.
        symbol: Drawn before it, not read aloud.
    """
    sign = element("span", symbol, aria_hidden="true") + "\u00a0" if symbol else ""
    return element("span", Html(sign), html(text), class_=f"badge {tone}")


def empty(what: str, next_act: object) -> Html:
    """A page's state before there is anything: what is missing, and what to do about it."""
    return element(
        "div", element("p", element("strong", what)), element("p", next_act), class_="empty"
    )


def section(title: str, *content: object, **named: object) -> Html:
    """A part of a page under its heading."""
    name = "s-" + "".join(char if char.isalnum() else "-" for char in title.lower())
    return element(
        "section", element("h2", title, id=name), *content, aria_labelledby=name, **named
    )
