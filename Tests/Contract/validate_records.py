#!/usr/bin/env python3
"""Holds records against the JSON Schemas with a validator that is not ours.

    SMSBRIDGE_RECORD_DUMP=records.ndjson swift test --filter SMSPortalEventsTests
    python3 Tests/Contract/validate_records.py records.ndjson

Each line of the dump is a record that a test made: {"topic", "key", "headers", "value"}, the value as text. Needs jsonschema
(pip). Exit status 1 when a record does not satisfy its schema, or when there is none of some type.
"""

import collections
import json
import pathlib
import sys

import jsonschema

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"
HEADERS = {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_idbasis", "content-type"}
TRACE = {"traceparent", "tracestate"}


def refuse_repeats(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def problems(record, validators):
    value = json.loads(record["value"], object_pairs_hook=refuse_repeats)
    kind = value["type"]
    for error in validators[kind].iter_errors(value):
        yield f"{error.json_path}: {error.message[:200]}"
    headers = record["headers"]
    if not HEADERS <= headers.keys() <= HEADERS | TRACE:
        yield f"headers are {sorted(headers)}"
        return
    expected = {
        "ce_specversion": "1.0",
        "ce_id": value["id"],
        "ce_type": f"com.smsportal.{kind}.v1",
        "ce_source": f"/smsportal/{value['account']}",
        "ce_time": value.get("occurredAt", value["receivedAt"]),
        "ce_idbasis": value["idBasis"],
        "content-type": "application/json",
    }
    for name, text in expected.items():
        if headers[name] != text:
            yield f"{name} is {headers[name]!r}, not {text!r}"
    topic = "quarantine" if kind == "unrecognised" else "test" if record["key"] == "27000000001" else kind
    if record["topic"] != topic:
        yield f"topic is {record['topic']}, not {topic}"
    key = record["key"]
    if key is not None and key != value.get("msisdn", "").translate(str.maketrans("", "", " -.()+")).removeprefix("00"):
        yield f"key is {key}, msisdn {value.get('msisdn')}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    validators = {}
    for path in sorted(SCHEMAS.glob("*.json")):
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validators[path.stem] = jsonschema.Draft202012Validator(schema)
    counts = collections.Counter()
    failures = 0
    with open(sys.argv[1], encoding="utf-8") as dump:
        for number, line in enumerate(dump, 1):
            record = json.loads(line)
            counts[json.loads(record["value"])["type"]] += 1
            for problem in problems(record, validators):
                failures += 1
                if failures <= 20:
                    print(f"line {number}: {problem}", file=sys.stderr)
    for kind in validators:
        if not counts[kind]:
            failures += 1
            print(f"no record of type {kind}", file=sys.stderr)
    print(f"{sum(counts.values())} records, {failures} problems: {dict(sorted(counts.items()))}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
