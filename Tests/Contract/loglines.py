"""Every line that a bridge logs is valid JSON or strict logfmt, and its field names are names."""

import json
import re

NAME = r"[A-Za-z_][A-Za-z0-9._-]*"
PAIR = re.compile(rf'({NAME})=(?:"((?:[^"\\]|\\.)*)"|([!#-<>-\[\]-~]+))')
FIRST = ("time", "level", "message")


def parse(line):
    """The fields of a line, by name; ValueError for what neither format allows."""
    if line.startswith("{"):
        pairs = json.loads(line, object_pairs_hook=list)
        for name, _ in pairs:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"the field name {name!r}")
    else:
        pairs, index = [], 0
        while True:
            match = PAIR.match(line, index)
            if not match:
                raise ValueError(f"no name=value at {line[index:index + 60]!r}")
            name, quoted, word = match.groups()
            pairs.append((name, word if quoted is None else json.loads(f'"{quoted}"')))
            index = match.end()
            if index == len(line):
                break
            if line[index] != " ":
                raise ValueError(f"no blank at {line[index:index + 60]!r}")
            index += 1
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    for name in FIRST:
        if name not in fields:
            raise ValueError(f"there is no {name}")
    if fields.get("repeated") in (0, "0") or fields.get("suppressed") in (0, "0"):
        raise ValueError("nothing was repeated, and the line says so")
    return fields


def complaints(text):
    """The problems of the lines of a log. The last one may be cut off by a kill."""
    found = []
    for line in text.split("\n")[:-1]:
        if line.rfind('{"time":"') > 0 or line.rfind("time=2") > 0:
            # A line that a kill has cut off, and the first one of the next process.
            continue
        try:
            parse(line)
        except ValueError as error:
            found.append(f"{error}: {line[:300]}")
    return found
