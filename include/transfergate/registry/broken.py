"""Records that are missing, torn, or written by another version: which, where, what to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from transfergate.errors import RegistryError

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class BrokenRecord:
    """One record that cannot be used.

    Attributes:
        key: Of the object.
        where: Its path or URL.
        problem: What is wrong with it.
        advice: What to do next.
    """

    key: str
    where: str
    problem: str
    advice: str

    def as_dict(self) -> dict[str, str]:
        """Plain values, ready for JSON."""
        return asdict(self)


def broken_record(key: str, where: str, error: Exception, named_by: str = "") -> BrokenRecord:
    """What to say of a record that could not be read.

    Args:
        key: Of the object.
        where: Its path or URL.
        error: What reading it led to.
        named_by: The record that names it, where it is not there.
    """
    return BrokenRecord(key, where, problem_of(error, named_by), advice_for(key))


def problem_of(error: Exception, named_by: str = "") -> str:
    """Why a record cannot be used, in words."""
    if isinstance(error, FileNotFoundError):
        return f"it is not there, although {named_by or 'another record'} names it"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f"it is no JSON; it may have been cut off or written over ({error})"
    if isinstance(error, KeyError):
        return f"it has no field {error.args[0]!r}: it is incomplete, or of another version"
    if isinstance(error, RegistryError):
        return str(error)
    return f"it does not hold what it should ({type(error).__name__}: {error})"


def advice_for(key: str) -> str:
    """What makes a record whole again."""
    kind, _, rest = key.partition("/")
    if kind == "evaluations" and rest.startswith("latest"):
        return "Judge the tickers again (finetune_tickers): that writes the pointer anew."
    return _ADVICE.get(kind, _RESTORE)


_RESTORE = "Restore it from a backup; if a later version of transfergate wrote it, update this one."
_ADVICE = {
    "batches": f"{_RESTORE} Or move the batch's folder away and ingest the same bars again.",
    "snapshots": f"{_RESTORE} Or move the snapshot's folder away and run build_features.",
    "evaluations": f"{_RESTORE} Or move the evaluation's folder away and run finetune_tickers: "
    "judging writes it anew.",
    "champions": f"{_RESTORE} Until then nobody can say from here what serves for this ticker, "
    "and promotions and rollbacks of it are refused.",
    "candidates": f"{_RESTORE} Or roll its champion back; fine-tuning makes another candidate.",
    "foundations": f"{_RESTORE} Or run pretrain_foundation.",
}


def built(kind: type[Kind], told: dict[str, Any]) -> Kind:
    """A dataclass of values that a record holds, each of the type it should have.

    Raises:
        RegistryError: If a value is of another type; names the field.
        KeyError: If a field is missing.
    """
    values = {}
    if kind not in _HINTS:
        _HINTS[kind] = get_type_hints(kind)
    for name, hint in _HINTS[kind].items():
        value = told[name]
        if not _fits(value, hint):
            raise RegistryError(
                f"its field {name!r} is {_short(value)}, expected {_said(hint)}: it is damaged, "
                f"or of another version"
            )
        values[name] = value
    return kind(**values)


_HINTS: dict[type, dict[str, Any]] = {}


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float or hint is int:
        allowed = int | float if hint is float else int
        return isinstance(value, allowed) and not isinstance(value, bool)
    return isinstance(value, hint)


def _said(hint: Any) -> str:
    return str(hint.__name__ if isinstance(hint, type) and not get_args(hint) else hint)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
