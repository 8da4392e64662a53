"""JSON of whatever an emulator was given."""

from __future__ import annotations

import json
from typing import Any


def json_bytes(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can write
        return json.dumps(value).encode()
