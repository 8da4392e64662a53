"""
The headers that prove who asks: the API's signature ``ACS3-HMAC-SHA256``. Pure, but for the time and a nonce.

The SDK could sign too, and the tests hold this to what it makes. But to import that costs a triggerer 5 MB, which
is an eighth of all that a thousand waits may take.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

_ALGORITHM = "ACS3-HMAC-SHA256"


def canonical(query: Mapping[str, str]) -> str:
    """Return a query as the URL holds it and as it is signed."""
    return urlencode(sorted(query.items()), quote_via=quote, safe="~")


def signed(
    headers: Mapping[str, str], method: str, path: str, query: str, content: bytes, credential: Any
) -> dict[str, str]:
    """
    Return all headers to send.

    :param headers: those that say what is asked of whom, their names in lower case, ``host`` among them.
    :param method: the HTTP method.
    :param path: as the URL holds it.
    :param query: from :func:`canonical`.
    :param content: the body.
    :param credential: whose ``access_key_id``, ``access_key_secret`` and ``security_token`` prove it.
    """
    digest = hashlib.sha256(content).hexdigest()
    headers = {
        **headers,
        "x-acs-content-sha256": digest,
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "x-acs-signature-nonce": uuid.uuid4().hex,
    }
    if credential.provider_name:
        headers["x-acs-credentials-provider"] = credential.provider_name
    if credential.security_token:
        headers["x-acs-accesskey-id"] = credential.access_key_id
        headers["x-acs-security-token"] = credential.security_token
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    request = "\n".join((method, path, query, lines, ";".join(names), digest))
    to_sign = f"{_ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(credential.access_key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"{_ALGORITHM} Credential={credential.access_key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return headers
