"""Every example goes in by curl and comes out right, read by three readers; ids are the same when they must be."""

import base64
import json
import os
import re
import time
from datetime import datetime, timezone

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import wire
from examples import Example, all_examples, pairs
from raw import raw_body, raw_query
from report import check, equal


class Schemas:
    """The JSON Schemas of the repository by event type."""

    def __init__(self, folder):
        self.validators = {}
        documents = {}
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if name.endswith(".json"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    documents[name] = json.load(file)
        registry = Registry().with_resources(
            [(key, Resource.from_contents(schema)) for name, schema in documents.items()
             for key in {name, schema.get("$id", name)}])
        for name, schema in documents.items():
            Draft202012Validator.check_schema(schema)
            for type in ["delivery-status", "reply", "short-code", "url-preview", "url-click", "unrecognised"]:
                if name.startswith(type):
                    self.validators[type] = Draft202012Validator(
                        schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def validate(self, value):
        type = value.get("type")
        check(type in self.validators, f"no schema for type {type!r} (have {sorted(self.validators)})")
        errors = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in self.validators[type].iter_errors(value)]
        check(not errors, f"not after the schema of {type}: {errors[:5]}")


def moment(text):
    check(isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text or ""),
          f"not an RFC 3339 time in UTC: {text!r}")
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def member(value, path):
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


def send(suite, example, extra_headers=()):
    url = suite.target(example.route) + (f"?{example.query}" if example.query else "")
    headers = [*suite.auth_lines, *extra_headers]
    if example.content_type is not None:
        headers.append(f"Content-Type: {example.content_type}")
    if example.content_encoding is not None:
        headers.append(f"Content-Encoding: {example.content_encoding}")
    answer = wire.curl(url, data=example.body, headers=headers, method=example.method)
    equal(answer.status, 200, "status")
    equal(answer.body, b"True", "body of the answer")
    check((answer.header("content-type") or "").startswith("text/plain"), f"content type {answer.header('content-type')!r}")
    check(answer.header("date"), "no Date")
    return answer


def check_record(suite, record, before, after, topic, type, key, basis):
    """What holds for every record."""
    equal(record.suffix, topic, "topic")
    equal(record.key, key.encode() if key is not None else None, "key")
    check(record.created, "the timestamp is not CreateTime")
    check(before - 5 <= record.timestamp <= after + 5, f"timestamp {record.timestamp} not within {before}..{after}")
    names = [name for name, _ in record.headers]
    equal(sorted(set(names)), sorted(names), "headers without repetition")
    allowed = {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_idbasis", "content-type", "traceparent",
               "tracestate"}
    check(set(names) <= allowed, f"headers {set(names) - allowed}")
    equal(record.header("ce_specversion"), "1.0", "ce_specversion")
    equal(record.header("ce_type"), f"com.smsportal.{type}.v1", "ce_type")
    equal(record.header("ce_source"), "/smsportal/default", "ce_source")
    equal((record.header("content-type") or "").split(";")[0], "application/json", "content-type")
    value = record.json
    suite.schemas.validate(value)
    equal(value["type"], type, "type")
    equal(value["account"], "default", "account")
    equal(value["id"], record.header("ce_id"), "id and ce_id")
    check(record.header("ce_id"), "no ce_id")
    if basis is not None:
        equal(record.header("ce_idbasis"), basis, "ce_idbasis")
    received = moment(value["receivedAt"])
    stamp = datetime.fromtimestamp(record.timestamp / 1000, timezone.utc)
    check(abs((received - stamp).total_seconds()) < 0.002, f"receivedAt {received} is not the timestamp {stamp}")
    occurred = value.get("occurredAt")
    at = moment(record.header("ce_time"))
    equal(at, moment(occurred) if occurred else received, "ce_time")
    # As Python's own decoder of the CloudEvents binding sees it.
    event = record.event()
    equal(event.get_id(), value["id"], "cloudevents: id")
    equal(event.get_source(), "/smsportal/default", "cloudevents: source")
    equal(event.get_type(), f"com.smsportal.{type}.v1", "cloudevents: type")
    equal(event.get_specversion(), "1.0", "cloudevents: specversion")
    equal(event.get_time(), at, "cloudevents: time")
    equal(event.get_extension("idbasis"), record.header("ce_idbasis"), "cloudevents: idbasis")
    equal(event.get_data(), value, "cloudevents: data")
    return value


def check_kept(value, query, body):
    """Nothing that came in is lost: the raw part gives it back byte for byte."""
    equal(raw_query(value), query.encode() if isinstance(query, str) else query, "raw query")
    equal(raw_body(value), body or b"", "raw body")


def examples(suite):
    for example in all_examples():
        with suite.report.case(f"example: {example.name}"):
            mark, before = suite.topics.mark(), int(time.time() * 1000)
            send(suite, example)
            after = int(time.time() * 1000)
            record = suite.topics.one(mark, within=1.0)
            value = check_record(suite, record, before, after, example.topic, example.type, example.key, example.basis)
            if example.time:
                equal(moment(value.get("occurredAt")), moment(example.time), "occurredAt")
            else:
                check("occurredAt" not in value or value["occurredAt"] is None, f"occurredAt {value.get('occurredAt')!r}")
            equal(value.get("msisdn"), example.number or example.key, "msisdn")
            for path, expected in example.expect.items():
                got = member(value, path)
                if expected is False and got is None:
                    continue
                equal(got, expected, path)
            check_kept(value, example.query, example.body)
            suite.seen.append(record)

    with suite.report.case("trace context travels as it came"):
        mark = suite.topics.mark()
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        send(suite, all_examples()[0], [f"traceparent: {parent}", "tracestate: vendor=a,other=b"])
        record = suite.topics.one(mark)
        equal(record.header("traceparent"), parent, "traceparent")
        equal(record.header("tracestate"), "vendor=a,other=b", "tracestate")

    with suite.report.case("without trace context there are no such headers"):
        mark = suite.topics.mark()
        send(suite, all_examples()[0])
        record = suite.topics.one(mark)
        equal((record.header("traceparent"), record.header("tracestate")), (None, None), "trace headers")

    for suffix in sorted({record.suffix for record in suite.seen}):
        with suite.report.case(f"kcat reads {suffix} the same"):
            suite.topics.settle()
            seen = {(m["partition"], m["offset"]): m for m in suite.topics.kcat(suffix)}
            for record in [r for r in suite.seen if r.suffix == suffix]:
                message = seen.get((record.partition, record.offset))
                check(message is not None, f"kcat does not have {record}")
                equal(message["tstype"], "create", "kcat: kind of timestamp")
                equal(message["ts"], record.timestamp, "kcat: timestamp")
                equal(message["key"], record.key.decode() if record.key is not None else None, "kcat: key")
                equal(message["payload"].encode(), record.value, "kcat: value")
                flat = [text for name, content in record.headers for text in (name, content.decode())]
                equal(message["headers"], flat, "kcat: headers")


def fixtures(suite, path):
    """The list of examples that the unit tests use, sent over the wire."""
    if not os.path.exists(path):
        return suite.report.skip("fixtures", f"{path} is not there")
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    for entry in entries:
        with suite.report.case(f"fixture: {entry['name']}"):
            expect = entry["expect"]
            example = Example(
                entry["name"], expect["topic"], expect["type"], expect["key"], expect["idBasis"], route=entry["route"] or "",
                query=entry["query"], content_type=entry["contentType"] or None, method=entry["method"], body=body_of(entry),
                content_encoding=entry.get("contentEncoding"))
            mark, before = suite.topics.mark(), int(time.time() * 1000)
            send(suite, example)
            after = int(time.time() * 1000)
            record = suite.topics.one(mark, within=1.0)
            value = check_record(suite, record, before, after, example.topic, example.type, example.key, example.basis)
            contains(value, expect["fields"], "")
            check_kept(value, example.query, example.body)
            equal(value["raw"].get("contentEncoding"), example.content_encoding, "raw.contentEncoding")
            equal(value["raw"].get("recovered", False), expect["fields"].get("raw", {}).get(
                "recovered", entry["name"] == "reply-not-escaped-on-substitution"), "raw.recovered")


def body_of(entry):
    if "bodyBase64" in entry:
        return base64.b64decode(entry["bodyBase64"])
    return entry["body"].encode() if entry["body"] or entry["method"] == "POST" else None


def contains(value, expected, path):
    """Every member of `expected` is in `value`, objects compared member by member."""
    for name, content in expected.items():
        here = f"{path}{name}"
        check(isinstance(value, dict) and name in value, f"{here} is missing")
        if isinstance(content, dict):
            contains(value[name], content, here + ".")
        elif name in ("occurredAt", "sentAt", "receivedAt"):
            equal(moment(value[name]), moment(content), here)
        else:
            equal(value[name], content, here)


def identity(suite):
    for name, first, second, same in pairs():
        with suite.report.case(f"identity: {name}"):
            ids, bases = [], []
            for example in (first, second):
                mark = suite.topics.mark()
                send(suite, example)
                record = suite.topics.one(mark)
                check(record.suffix != "quarantine", f"in quarantine: {record}")
                ids.append(record.header("ce_id"))
                bases.append(record.header("ce_idbasis"))
            check((ids[0] == ids[1]) == same, f"ids {ids} ({bases}) are {'not ' if same else ''}the same")
            if same:
                check(bases[0] == bases[1] and bases[0] in ("vendor", "fields"), f"bases {bases}")
            if name.startswith("a GET click"):
                equal(bases, ["reception", "reception"], "bases")

    with suite.report.case("identity: all different examples have different ids"):
        by_id = {}
        for record in suite.seen:
            # Two of the vendor's own samples have one id of the message and one status: one event, by its word.
            if record.suffix == "test":
                continue
            by_id.setdefault(record.header("ce_id"), []).append(record)
        for id, records in by_id.items():
            # Those of one id have to be the same callback by another route, with another content type or key spelling.
            keys = {(r.suffix, r.key, r.json.get("messageId"), r.json.get("batchId"), r.json.get("status"),
                     r.json.get("occurredAt")) for r in records}
            check(len(keys) == 1, f"id {id} stands for {len(keys)} events: {keys}")
