"""What a data folder says of itself: ``source.toml``, laid below the settings."""

from __future__ import annotations

import tomllib
from typing import Any

from pydantic import ValidationError

from transfergate.errors import SettingsError
from transfergate.settings import SourceParams
from transfergate.sources.folder import Folder

NAME = "source.toml"


def read_description(params: SourceParams) -> dict[str, Any]:
    """Content of the folder's ``source.toml``; empty where it has none.

    Raises:
        SettingsError: If it is no TOML, or a field is unknown or out of bounds; names file and
            field.
        SourceError: If the folder cannot be reached.
    """
    if params.kind != "files" or params.root is None:
        return {}
    folder = Folder(params.root)
    if not folder.exists(NAME):
        return {}
    where = folder.url(NAME)
    try:
        found = tomllib.loads(folder.read(NAME).to_pybytes().decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: not valid TOML: {error}; correct that line") from error
    if own := sorted({"root", "kind"} & set(found)):
        raise SettingsError(
            f"{where}: {', '.join(own)}: a folder does not say where it is or what kind it is; "
            f"take that line out"
        )
    _checked({"kind": "files", **found}, where)
    return found


def described(params: SourceParams, description: dict[str, Any]) -> SourceParams:
    """Settings of a source over what its folder says; what was set explicitly wins.

    Groups such as ``quality`` are merged field by field, lists as a whole.

    Raises:
        SettingsError: If the two together contradict each other; names the field.
    """
    if not description:
        return params
    explicit = params.model_dump(mode="json", exclude_unset=True)
    return _checked(_over(description, explicit), f"settings over {params.root}/{NAME}")


def _over(base: Any, top: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(top, dict)):
        return top
    merged = {name: _over(base[name], top[name]) for name in base.keys() & top.keys()}
    return {**base, **top, **merged}


def _checked(values: dict[str, Any], where: str) -> SourceParams:
    try:
        return SourceParams.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        # A list whose items are wrong is called too short besides: its items say why.
        within = {item["loc"][0] for item in found if len(item["loc"]) > 1}
        lines = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} "
            f"(found {str(item.get('input'))[:80]!r})"
            for item in found
            if not (item["type"] == "too_short" and item["loc"][0] in within)
        ]
        raise SettingsError(
            f"{where}: {'; '.join(lines)}: correct these fields; docs/files.md has all of them"
        ) from error
