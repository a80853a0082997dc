"""What a page of the Data Docs may do in a reader's browser, whoever's text stands in it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from airflow.configuration import conf

from transfergate.orchestration.ui.links import ours
from transfergate.quality.docs import SCRIPTS

_GX_INLINE = "'sha256-gohp0y43UjzSJTa7tPe9rc0wep/LVMX8VCahWN7jXfE='"
"""Great Expectations' own script: it shows and hides what was met."""
_GX_BUTTONS = (
    "'unsafe-hashes'",
    "'sha256-cnyHsTTJ3vWVXJ/oMubJ42pPC/njhE6bB7grHdtfMbM='",  # hideSucceededValidations()
    "'sha256-tHIgjROKqUIJZc0efXzVrH5WTNtBtOZhJoN/2cUV3rY='",  # showAllValidations()
)
_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def docs_headers(host: str) -> dict[str, str]:
    """Headers of a page of the Data Docs.

    Pages that were made before values from bar files were escaped may hold a vendor's script:
    nothing runs but the files that are shipped, by their whole addresses, and Great Expectations'
    one script by its hash. Nothing is fetched from elsewhere or sent anywhere.

    Args:
        host: The request's ``Host``.
    """
    named = urlsplit(conf.get("api", "base_url", fallback="") or "").netloc.rpartition("@")[2]
    hosts = [one for one in dict.fromkeys((host, named)) if _HOST.fullmatch(one)]
    scripts = [f"{one}{ours('data_docs', 'assets', name)}" for one in hosts for name in SCRIPTS]
    policy = {
        "default-src": ["'none'"],
        "script-src": [*scripts, _GX_INLINE, *_GX_BUTTONS],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'", "data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'self'"],
    }
    return {
        "Content-Security-Policy": "; ".join(" ".join((k, *v)) for k, v in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, no-cache",
    }
