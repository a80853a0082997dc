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

_SECRET_NAME = r"(?:[\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|credential|private[_-]?key|authorization|pwd)[\w-]*)"  # noqa: E501
_PATTERNS = (
    # user:password@host of an address; the password may hold what should have been quoted
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]*@", re.IGNORECASE), rf"\1{MASK}@"),
    (
        re.compile(
            r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"<>:@]+:(?!\d+/)[^\s'\"<>@]*@", re.IGNORECASE
        ),
        rf"\1{MASK}@",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),  # a signed token
    (re.compile(r"(https://hooks\.slack\.com/services/)\S+"), rf"\1{MASK}"),
    (re.compile(r"([?&](?:X-Amz-[\w-]+|Signature|sig|AWSAccessKeyId)=)[^&\s]+"), rf"\1{MASK}"),
    # name=value, name: value, "name": "value", --name value
    (
        re.compile(
            rf"(?P<name>{_SECRET_NAME})(?P<is>['\"]?\s*(?:=>|=|:)\s*(?:[bru]?['\"])?)"
            rf"(?!{re.escape(MASK)})(?P<value>[^\s'\",;&<>)}}\]]+)",
            re.IGNORECASE,
        ),
        rf"\g<name>\g<is>{MASK}",
    ),
)
_SECRET_VARIABLE = re.compile(rf"{_SECRET_NAME}$|FERNET_KEY$|SECRET_KEY$", re.IGNORECASE)


def hidden(text: str) -> str:
    """A text without the secrets that are known, or look like ones.

    Known are those that Airflow masks in its logs (passwords of connections that were read,
    variables of a secret name), and those in this process's environment.
    """
    from airflow.sdk.log import redact

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
        elif _SECRET_VARIABLE.search(name):
            found.add(value)
        elif "://" in value:
            found |= set(_of_address(value))
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


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
    password = told.get("password") if isinstance(told, dict) else None
    if isinstance(password, str):
        yield password
