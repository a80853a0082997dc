"""Lineage as a picture made of lists: stages from left to right, each with the things it made.

Every thing is a card with its links, in the order of the document: the picture reads aloud, and the
keyboard reaches all of it. On a phone the stages stand below one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transfergate.orchestration.ui.markup import Html, attributes, element, html, join

SHOWN = 6
"""So many cards of a stage stand open; the others are folded away."""
MOST = 60
"""So many are there at all; pages stay small where hundreds of tickers share a batch."""


@dataclass(frozen=True)
class Card:
    """One thing that was made.

    Attributes:
        name: ``Html``, or text.
        lines: Facts below it: name and value; those that are None are left out.
        links: Ways to look at it.
        tone: Colours its edge.
        here: Whether it is what the page is about.
    """

    name: object
    lines: Sequence[tuple[str, object]] = ()
    links: Sequence[Html] = ()
    tone: str = ""
    here: bool = False


@dataclass(frozen=True)
class Stage:
    """One step of the way.

    Attributes:
        title: What its things are.
        cards: The things, the most interesting first.
        nothing: What is said where there are none.
    """

    title: str
    cards: Sequence[Card] = field(default=())
    nothing: str = "none"


def flow(stages: Sequence[Stage], label: str) -> Html:
    """The stages as an ordered list."""
    return element(
        "ol",
        *(_stage(stage) for stage in stages),
        class_="flow",
        aria_label=label,
        data_testid="lineage-graph",
    )


def _stage(stage: Stage) -> Html:
    count = f" ({len(stage.cards):,})" if len(stage.cards) > 1 else ""
    shown = [_card(card) for card in stage.cards[:SHOWN]]
    folded = [_card(card) for card in stage.cards[SHOWN:MOST]]
    left = len(stage.cards) - MOST
    rest = element("p", f"and {left:,} others", class_="note") if left > 0 else ""
    more = (
        element("details", element("summary", f"{len(folded)} more"), join(folded), rest)
        if folded
        else ""
    )
    nothing = element("p", stage.nothing, class_="note") if not shown else ""
    return element("li", element("h3", f"{stage.title}{count}"), *shown, nothing, more)


def _card(card: Card) -> Html:
    pairs = [(name, value) for name, value in card.lines if value is not None]
    rows = join(element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    ways = element("p", join(card.links, " · "), class_="ways") if card.links else ""
    classes = f"card {card.tone}{' here' if card.here else ''}".strip()
    named = attributes(class_=classes, aria_current="true" if card.here else None)
    return Html(
        f"<article{named}>{element('h4', html(card.name))}"
        f"{element('dl', rows) if pairs else ''}{ways}</article>"
    )
