"""Secrets out of text that leaves the machine or stands on a page: errors, notices, addresses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

MASK = "***"
SHORTEST = 5
"""A value shorter than that is masked in no text: it would stand in words that are no secret."""

# Nothing here looks back over what stands before a match: an error may quote a megabyte of text,
# and a worker must not wait for it.
_SECRET_NAME = (
    r"(?:password|passwd|passphrase|secret|token(?!s\b|i[sz])|api[_-]?key|access[_-]?key|credential"
    r"|private[_-]?key|authorization|pwd)[\w-]{0,64}"
)
_MASKED = re.escape(MASK)  # a name that is itself a known secret ("secret") is a mask by now
_QUOTED = r"(?P<quote>['\"])(?:\\.|(?!(?P=quote))[^\\\n]){0,4096}(?P=quote)"
_PATTERNS = (
    # user:password@host of an address; the password may hold what should have been quoted
    (re.compile(r"://[^\s/?#'\"<>]{1,4096}@"), rf"://{MASK}@"),
    (re.compile(r"://[^\s/?#'\"<>:@]{1,256}:(?!\d+/)[^\s'\"<>@]{0,1024}@"), rf"://{MASK}@"),
    (re.compile(r"\b(Bearer)\s{1,8}[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # "Basic" begins words of everyday too: "Basic Materials" is a sector
    (
        re.compile(r"\b([Bb]asic)\s{1,8}(?=[\w+/-]{0,256}?(?:[0-9=]|[a-z][A-Z]))[\w+/=-]{8,}"),
        rf"\1 {MASK}",
    ),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]{8,8192}\.[\w-]*"), MASK),  # a signed token
    (re.compile(r"(https://hooks\.slack\.com/services/)\S+"), rf"\1{MASK}"),
    (re.compile(r"([?&](?:X-Amz-[\w-]{1,64}|Signature|sig|AWSAccessKeyId)=)[^&\s]+"), rf"\1{MASK}"),
    # "Authorization: any scheme and what belongs to it"
    (
        re.compile(r"(authorization['\"]?\s{0,8}[=:]\s{0,8}['\"]?)[^'\"\n]{1,4096}", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    # name="all that is quoted"
    (
        re.compile(
            rf"(?P<name>(?:{_SECRET_NAME}|{_MASKED})['\"]?\s{{0,8}}(?:=>|=|:)\s{{0,8}}[bru]?)"
            rf"{_QUOTED}",
            re.IGNORECASE,
        ),
        rf"\g<name>\g<quote>{MASK}\g<quote>",
    ),
    # name=value, name: value, "name": "value", --name value
    (
        re.compile(
            rf"(?P<name>{_SECRET_NAME}|{_MASKED}(?==)|(?<=[\w\"'-]){_MASKED})"
            rf"(?P<is>\\?['\"]?\s{{0,8}}(?:=>|=|:)\s{{0,8}}(?:[bru]?\\?['\"])?)"
            rf"(?!{re.escape(MASK)})(?P<value>[^\s'\",;&<>)}}\]]+)",
            re.IGNORECASE,
        ),
        rf"\g<name>\g<is>{MASK}",
    ),
)
_SECRET_VARIABLE = re.compile(rf"{_SECRET_NAME}$|FERNET_KEY$|SECRET_KEY$", re.IGNORECASE)
_SWITCHES = ("true", "false")  # of AIRFLOW__SECRETS__USE_CACHE, say: no secrets


def hidden(text: str) -> str:
    """A text without the secrets that are known, or look like ones.

    Known are those that Airflow masks in its logs (passwords of connections that were read,
    variables of a secret name), and those in this process's environment.
    """
    from airflow.sdk._shared.secrets_masker import redact

    found = str(redact(text))
    for secret in _own_secrets(os.environ):
        found = found.replace(secret, MASK)
    for pattern, mask in _PATTERNS:
        found = pattern.sub(mask, found)
    return found


def _own_secrets(environment: Mapping[str, str]) -> list[str]:
    """Secret values of the environment, the longest first: one may be part of another."""
    found = set()
    for name, value in environment.items():
        if name.startswith("AIRFLOW_CONN_"):
            found |= set(_of_connection(value))
            continue
        if _SECRET_VARIABLE.search(name):
            found.add(value)
        if "://" in value:
            found |= set(_of_address(value))
    told = (one for one in found if len(one) >= SHORTEST and one.lower() not in _SWITCHES)
    return sorted(told, key=len, reverse=True)


def _of_address(value: str) -> Iterator[str]:
    try:
        password = urlsplit(value).password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)


def _of_connection(value: str) -> Iterator[str]:
    if not value.lstrip().startswith("{"):
        yield from _of_address(value)
        return
    try:
        told = json.loads(value)
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    extra = told.get("extra")
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            extra = None
    for name, one in {**told, **(extra if isinstance(extra, dict) else {})}.items():
        if isinstance(one, str) and _SECRET_VARIABLE.search(name):
            yield one
