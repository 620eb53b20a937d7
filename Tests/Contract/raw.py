"""Gives back what came in from the `raw` part of a record's value (docs/events.md)."""

import base64


def _bytes(raw, name):
    if raw.get(f"{name}Base64") is not None:
        return base64.b64decode(raw[f"{name}Base64"], validate=True)
    text = raw.get(name)
    return text.encode("utf-8") if text is not None else b""


def raw_body(value):
    return _bytes(value["raw"], "body")


def raw_query(value):
    return _bytes(value["raw"], "query")
