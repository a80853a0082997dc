"""Command that looks at bar files and proposes how to read them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from transfergate.cli.common import Commands, Result, add_command


def add(commands: Commands) -> None:
    """Add ``inspect``."""
    added = add_command(commands, inspect)
    added.add_argument("path", help="file, folder or object-store URL of bars")


def inspect(options: argparse.Namespace) -> Result:
    """Propose the format of bar files, with evidence and doubts; nothing applies it."""
    from transfergate.sources.survey import survey

    found = survey(options.path)
    result = {
        "root": found.root,
        "files": [
            {
                "file": proposal.name,
                "format": proposal.format,
                "evidence": proposal.evidence,
                "doubts": proposal.doubts,
                "rows": proposal.rows[0] if proposal.rows else None,
                "unreadable_rows": proposal.rows[1] if proposal.rows else None,
            }
            for proposal in found.proposals
        ],
        "refused": found.refused,
        "source_toml": "\n".join(_toml(proposal.format) for proposal in found.proposals),
    }
    return result, _text(result)


def _text(result: dict[str, Any]) -> str:
    parts = [f"# A proposal for {Path(result['root']) / 'source.toml'}; nothing has applied it."]
    for file in result["files"]:
        lines = [f"# {file['file']}"]
        lines += [f"#   {line}" for line in file["evidence"]]
        lines += [f"#   DOUBT: {line}" for line in file["doubts"]]
        parts.append("\n".join([*lines, _toml(file["format"])]))
    parts += [f"# {name}: {reason}" for name, reason in result["refused"].items()]
    return "\n\n".join(parts)


def _toml(fields: dict[str, Any]) -> str:
    return "\n".join(["[[formats]]", *(f"{name} = {_value(v)}" for name, v in fields.items())])


def _value(value: Any) -> str:
    # JSON's strings, numbers and lists are TOML's; a group becomes an inline table.
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    plain = name.replace("_", "a").isalnum() and name.isascii()
    return name if plain else json.dumps(name, ensure_ascii=False)
