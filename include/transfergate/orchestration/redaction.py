"""Secrets out of text that leaves the machine or stands on a page: errors, notices, addresses."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from urllib.parse import unquote, urlsplit

log = logging.getLogger(__name__)

MASK = "***"
SHORTEST = 5
"""A value shorter than that is masked in no text: it would stand in words that are no secret."""
_WORD = re.compile(r"[a-z]{1,11}|[A-Z]{1,11}|[A-Z][a-z]{1,10}")
"""What may be a word of everyday is masked only where it stands as a word, not within others."""

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
_NO_SECRETS = ("PWD", "OLDPWD")  # folders, whatever their names look like
_SWITCHES = ("true", "false")  # of TOKENIZERS_PARALLELISM, say: no secrets
_OURS = "airflow"  # masked nowhere, in Airflow's logs neither: every second text has it


def hidden(text: str) -> str:
    """A text without the secrets that are known, or look like ones.

    Known are those that Airflow masks in its logs (passwords of connections that were read,
    variables of a secret name), and those in this process's environment. A word of everyday among
    the latter is masked as a whole word alone, and the log warns of it once.
    """
    # Airflow's providers take it from there (providers.common.compat); no stub says so.
    from airflow.sdk.log import redact  # type: ignore[attr-defined]

    found = str(redact(text))
    own = _own_secrets(os.environ)
    _warn_of_words(tuple(sorted({own[one] for one in own if _WORD.fullmatch(one)})))
    for secret in own:
        if len(secret) < SHORTEST or secret == _OURS:
            continue
        if _WORD.fullmatch(secret):
            found = re.sub(rf"\b{secret}\b", MASK, found)
        else:
            found = found.replace(secret, MASK)
    for pattern, mask in _PATTERNS:
        found = pattern.sub(mask, found)
    return found


@cache
def _warn_of_words(variables: tuple[str, ...]) -> None:
    if variables:
        log.warning(
            "%s: holds a secret that may be a word of everyday; texts hide it only where it "
            "stands as a word of its own, %r and what has fewer than %d letters nowhere; take one "
            "with digits in it, or of 12 letters",
            ", ".join(variables),
            _OURS,
            SHORTEST,
        )


def _own_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Secret values of the environment, each with the name of a variable that holds it.

    The longest comes first: one may be part of another.
    """
    found = {
        secret: name
        for name, value in environment.items()
        for secret in _of_variable(name, value)
        if secret and secret.lower() not in _SWITCHES
    }
    return dict(sorted(found.items(), key=lambda item: len(item[0]), reverse=True))


def _of_variable(name: str, value: str) -> Iterator[str]:
    if name.startswith("AIRFLOW_CONN_"):
        yield from _of_connection(value)
        return
    # AIRFLOW__SECRETS__ is a section of settings; what is secret in it says so once more
    if name not in _NO_SECRETS and _SECRET_VARIABLE.search(name.removeprefix("AIRFLOW__SECRETS__")):
        yield value
    if "://" in value:
        yield from _of_address(value)


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
