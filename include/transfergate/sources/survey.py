"""Proposals for a file or for every file of a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from transfergate.errors import SourceError
from transfergate.settings import SourceParams
from transfergate.sources.folder import Folder, matches
from transfergate.sources.inspection import inspect_file
from transfergate.sources.lean import base_of, beside
from transfergate.sources.proposals import Proposal


@dataclass
class Survey:
    """What was found below a root.

    Attributes:
        root: Folder or URL.
        proposals: One for each kind of file; files that read alike share one.
        refused: File -> why nothing can be proposed for it.
    """

    root: str
    proposals: list[Proposal] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def survey(path: str) -> Survey:
    """Look at a file, or at every file of a folder.

    Raises:
        SourceError: If there is no such file or folder.
    """
    root, only = path, None
    if "://" not in path and Path(path).is_file():
        root, only = str(Path(path).parent), Path(path).name
    folder = Folder(root)
    ignored = SourceParams(kind="files").ignore
    names = [only] if only else [n for n in folder.names() if not matches(n, *ignored)]
    if not names:
        raise SourceError(f"{folder.root} holds no file: name a file or folder of bars")
    found = Survey(folder.root)
    bases = {name.rpartition("/")[0].rpartition("/")[0] for name in names if beside(name)}
    for name in names:
        base = base_of(name).rstrip("/")
        if beside(name) and base in bases:
            continue
        if name.endswith(".zip") and base in bases and "/" in name:
            found.proposals.append(_lean(name))
            continue
        try:
            found.proposals.append(inspect_file(folder, name))
        except SourceError as error:
            found.refused[name] = str(error)
    found.proposals = _grouped(found.proposals, names)
    return found


def _lean(name: str) -> Proposal:
    pattern = f"{name.rpartition('/')[0]}/*.zip"
    why = "zips beside map_files/ or factor_files/: QuantConnect's LEAN layout"
    return Proposal(pattern, {"pattern": pattern, "kind": "lean"}, [why])


def _grouped(proposals: list[Proposal], names: list[str]) -> list[Proposal]:
    # Files whose formats differ in the name alone share a proposal, where one pattern says which.
    groups: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        key = repr({**proposal.format, "pattern": None})
        groups.setdefault(key, []).append(proposal)
    grouped: list[Proposal] = []
    for alike in groups.values():
        ending = "*" + "".join(Path(alike[0].name).suffixes[-1:])
        same = {proposal.name for proposal in alike} == {n for n in names if matches(n, ending)}
        if len(alike) == 1 or not same:
            unique = {proposal.name: proposal for proposal in alike}
            grouped += unique.values()
            continue
        first = alike[0]
        doubts = list(dict.fromkeys(doubt for one in alike for doubt in one.doubts))
        counted = f"{len(alike)} files read alike: {', '.join(p.name for p in alike[:5])}"
        rows = [one.rows for one in alike if one.rows]
        total = (sum(r[0] for r in rows), sum(r[1] for r in rows)) if rows else None
        shape = {**first.format, "pattern": ending}
        grouped.append(Proposal(ending, shape, [counted, *first.evidence], doubts, total))
    return grouped
