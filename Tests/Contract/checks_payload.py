"""Payloads that nobody can understand, or only in part: answered 200, kept byte for byte, never lost.

`reason` names the quarantine's reason; KEPT means that any topic will do, as long as nothing is lost: whether such a
callback still makes an event is the decoder's own judgement, not the contract's.
"""

import gzip
import json
import time

import wire
from checks_records import check_kept, check_record
from report import check, equal

KEPT = None
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
N = "27001666001"


def table():
    """(name, route, query, body, content type, reason)"""
    D, R = "delivery-status", "reply"
    good = json.dumps({"id": 1, "phoneNumber": N, "status": "DELIVRD", "receivedUtc": 1735718400}).encode()
    text = lambda inner: b'{"sourcePhoneNumber":"' + N.encode() + b'","id":1,"incomingUtc":1735711200,"incomingData":' + inner + b"}"

    def bad(name, body, reason, route=D, kind=JSON, query=b""):
        return name, route, query, body, kind, reason

    broken = {"invalid-json"}
    # Not JSON.
    for share in (1, len(good) // 3, len(good) // 2, len(good) - 1):
        yield bad(f"JSON cut after {share} bytes", good[:share], broken)
    # What is recovered of a text that was not escaped is in Tests/Fixtures.
    yield bad("a quote that is not escaped", text(b'"He said "no" twice"'), KEPT, R)
    yield bad("a quote that is not escaped in a number", good.replace(b'"27', b'"27"'), broken)
    yield bad("garbage behind the object", good + b"x", broken)
    yield bad("two objects", good + good, broken)
    yield bad("two objects on two lines", good + b"\n" + good, broken)
    yield bad("a comma before the end", good[:-1] + b",}", broken)
    yield bad("a comma at the beginning", b"{," + good[1:], broken)
    yield bad("a missing comma", b'{"id":1 "status":"DELIVRD"}', broken)
    yield bad("a missing colon", b'{"id" 1}', broken)
    yield bad("a missing value", b'{"id":}', broken)
    yield bad("single quotes", b"{'id':1,'phoneNumber':'27001666001'}", broken)
    yield bad("keys without quotes", b"{id:1,phoneNumber:27001666001}", broken)
    yield bad("a comment", b'{"id":1 /* one */}', broken)
    yield bad("a line comment", b'{"id":1} // one', broken)
    for number in (b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b"0x1F", b"1.", b".5", b"1e", b"--1", b"1_000", b"-"):
        yield bad(f"the number {number.decode()}", b'{"phoneNumber":"27001666001","id":' + number + b"}", broken)
    for word in (b"True", b"TRUE", b"nul", b"undefined", b"None", b"truefalse"):
        yield bad(f"the word {word.decode()}", b'{"phoneNumber":"27001666001","id":' + word + b"}", broken)
    yield bad("a string without an end", b'{"status":"DELIVRD', broken)
    yield bad("a line end within a string", text(b'"one\ntwo"'), KEPT, R)
    yield bad("a tab within a string", text(b'"one\ttwo"'), KEPT, R)
    yield bad("a NUL within a string", text(b'"one\x00two"'), broken, R)
    yield bad("a NUL behind the object", good + b"\x00", broken)
    yield bad("the escape \\x41", text(b'"\\x41"'), KEPT, R)
    yield bad("the escape \\u12", text(b'"\\u12"'), KEPT, R)
    yield bad("the escape \\u{1F600}", text(b'"\\u{1F600}"'), KEPT, R)
    yield bad("an escape at the very end", b'{"a":"\\', broken)
    yield bad("an unbalanced bracket", b'{"a":[1,2}', broken)
    yield bad("an unbalanced brace within", b'{"a":{"b":1]}', broken)
    yield bad("an unreplaced template", b'{"id":@@Id@@,"phoneNumber":"@@PhoneNumber@@"}', broken)
    yield bad("a template that was replaced by nothing", b'{"id":,"phoneNumber":"27001666001"}', broken)
    yield bad("XML", b"<?xml version='1.0'?><status>DELIVRD</status>", KEPT, kind="application/xml")
    yield bad("multipart", b'--x\r\nContent-Disposition: form-data; name="Status"\r\n\r\nDELIVRD\r\n--x--\r\n', KEPT,
              kind="multipart/form-data; boundary=x")
    # JSON, but not an object.
    for value in (b"[]", b"[" + good + b"]", b'"DELIVRD"', b"1", b"-0.5e3", b"true", b"false", b"null", b" \n [1] "):
        yield bad(f"the JSON {value[:20].decode().strip()}", value, {"not-an-object"})
    yield bad("100,000 open brackets", b"[" * 100_000, {"invalid-json", "too-deep", "not-an-object"})
    yield bad("an object nested 1,000 deep", b'{"a":' * 1000 + b"1" + b"}" * 1000, {"too-deep", "invalid-json"})
    yield bad("an array nested 1,000 deep in a member", b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}", {"too-deep", "invalid-json"})
    # Not UTF-8.
    for name, bytes_ in [("the byte FF", b"\xff"), ("a lone continuation byte", b"\x80"), ("an overlong slash", b"\xc0\xaf"),
                         ("an overlong NUL", b"\xe0\x80\x80"), ("a surrogate", b"\xed\xa0\x80"),
                         ("a surrogate pair in UTF-8", b"\xed\xa0\xbd\xed\xb9\x8f"), ("a scalar beyond U+10FFFF", b"\xf4\x90\x80\x80"),
                         ("a sequence cut short", b"\xf0\x9f\x98"), ("Latin-1", "môre".encode("latin-1")),
                         ("a sequence of five bytes", b"\xf8\x88\x80\x80\x80")]:
        yield bad(f"{name} in a text", text(b'"' + bytes_ + b'"'), {"invalid-utf-8"}, R)
    yield bad("the byte FE in a key", b'{"\xfe":1}', {"invalid-utf-8"})
    yield bad("UTF-16 with its mark", "\ufeff".encode("utf-16-le") + good.decode().encode("utf-16-le"), {"invalid-utf-8"})
    yield bad("UTF-16 without its mark", good.decode().encode("utf-16-be"), {"invalid-json", "invalid-utf-8"})
    yield bad("gzip that is not declared", gzip.compress(good), {"invalid-utf-8"})
    yield bad("all 256 bytes", bytes(range(256)), {"invalid-utf-8", "invalid-json"})
    yield bad("200 kB of the byte 80", b"\x80" * 200_000, {"invalid-utf-8"})
    yield bad("200 kB of zeros", bytes(200_000), {"invalid-json", "invalid-form"})
    yield bad("the byte FF escaped in a form", b"Phonenumber=27001666001&Status=%FF", {"invalid-utf-8"}, kind=FORM)
    yield bad("the byte FF escaped in a query", None, {"invalid-utf-8"}, kind=None, query=b"Phonenumber=27001666001&Status=%FF")
    yield bad("an escaped surrogate in a query", None, {"invalid-utf-8"}, kind=None, query=b"Phonenumber=27001666001&Data=%ED%A0%80")
    # Neither form nor query.
    yield bad("a percent sign alone in a form", b"Phonenumber=27001666001&Data=50%", {"invalid-form"}, kind=FORM)
    yield bad("the escape %zz in a form", b"Phonenumber=27001666001&Data=%zz", {"invalid-form"}, kind=FORM)
    yield bad("the escape %zz in a query", None, {"invalid-form"}, kind=None, query=b"Phonenumber=27001666001&Data=%zz")
    yield bad("a percent sign at the end of a query", None, {"invalid-form"}, kind=None, query=b"Phonenumber=27001666001&Data=50%")
    yield bad("the escape %1 at the end of a query", None, {"invalid-form"}, kind=None, query=b"Phonenumber=27001666001&Data=%1")
    # Nothing at all.
    yield bad("an empty GET", None, {"empty"}, kind=None)
    yield bad("an empty GET on the common route", None, {"empty"}, "", kind=None)
    yield bad("an empty POST", b"", {"empty"})
    yield bad("an empty POST on the common route", b"", {"empty"}, "")
    yield bad("a POST of white space", b" \r\n\t ", {"empty", "invalid-json", "missing-fields"})
    yield bad("a query of ampersands", None, {"empty", "missing-fields", "unknown-shape"}, kind=None, query=b"&&&")
    yield bad("a query of one =", None, {"missing-fields", "unknown-shape"}, kind=None, query=b"=")
    yield bad("an empty object", b"{}", {"missing-fields", "empty"})
    yield bad("an empty object on the common route", b"{}", {"unknown-shape", "empty"}, "")
    # A shape that is nobody's.
    yield bad("messageId and statusCode", b'{"messageId":"abc","statusCode":200}', {"unknown-shape"}, "")
    yield bad("receipts", b'{"receipts":[{"id":1,"status":"DELIVRD"}]}', {"unknown-shape"}, "")
    yield bad("unknown keys on the common route", b'{"a":1,"b":"2"}', {"unknown-shape"}, "")
    yield bad("unknown keys on a type's route", b'{"a":1,"b":"2"}', {"missing-fields"})
    yield bad("unknown keys in a query", None, {"unknown-shape"}, "", None, b"a=1&b=2")
    yield bad("a reply's keys without a number, all null", b'{"sourcePhoneNumber":null,"incomingData":null}', {"missing-fields"}, R)
    # Understood in part: whatever becomes of it, all of it is kept.
    yield bad("no number", b'{"id":1,"status":"DELIVRD","receivedUtc":1735718400}', KEPT)
    yield bad("an empty number", b'{"id":1,"phoneNumber":"","status":"DELIVRD","receivedUtc":1735718400}', KEPT)
    yield bad("a number of letters", b'{"id":1,"phoneNumber":"somebody","status":"DELIVRD"}', KEPT)
    yield bad("a number of 500 digits", b'{"id":1,"phoneNumber":"' + b"2" * 500 + b'","status":"DELIVRD"}', KEPT)
    yield bad("a number as an object", b'{"id":1,"phoneNumber":{"n":"27001666001"},"status":"DELIVRD"}', KEPT)
    yield bad("a number as an array", b'{"id":1,"phoneNumber":["27001666001"],"status":"DELIVRD"}', KEPT)
    yield bad("a number in scientific notation", b'{"id":1,"phoneNumber":2.7001666001e10,"status":"DELIVRD"}', KEPT)
    yield bad("a number as a truth value", b'{"id":1,"phoneNumber":true,"status":"DELIVRD"}', KEPT)
    yield bad("a status that is a number", b'{"id":1,"phoneNumber":"27001666001","status":3}', KEPT)
    yield bad("a status that is empty", b'{"id":1,"phoneNumber":"27001666001","status":""}', KEPT)
    yield bad("a status of 10 kB", b'{"id":1,"phoneNumber":"27001666001","status":"' + b"S" * 10_000 + b'"}', KEPT)
    yield bad("an id of 200 digits", b'{"id":' + b"9" * 200 + b',"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    yield bad("an id that is negative", b'{"id":-5,"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    yield bad("an id that is a fraction", b'{"id":1.5,"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    yield bad("an id that is an object", b'{"id":{},"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    for stamp in (b"-1", b"0", b"1e300", b"99999999999999999999", b'"yesterday"', b"null", b"{}", b"253402300800", b"1735718400.5"):
        yield bad(f"the time {stamp.decode()}", b'{"id":1,"phoneNumber":"27001666001","status":"DELIVRD","receivedUtc":' + stamp + b"}",
                  KEPT)
    for date in ("32%2FJan%2F2021+00%3A00%3A00", "1%2FFoo%2F2021+00%3A00%3A00", "29%2FFeb%2F2021+00%3A00%3A00", "",
                 "2021-01-01T00%3A00%3A00Z", "1%2FJan%2F2021+24%3A00%3A61", "1%2FJan%2F99999+00%3A00%3A00", "0%2FJan%2F2021+00%3A00%3A00"):
        yield bad(f"the date {date!r}", None, KEPT, kind=None,
                  query=f"ID=1&EventID=1&Phonenumber={N}&Status=DELIVRD&SentDataTime={date}".encode())
    yield bad("every key twice", b'{"id":1,"id":2,"phoneNumber":"27001666001","phoneNumber":"27001666002","status":"A","status":"B"}', KEPT)
    yield bad("keys that differ in case", b'{"id":1,"ID":2,"phoneNumber":"27001666001","PHONENUMBER":"27001666002","status":"A"}', KEPT)
    yield bad("a number twice in a query", None, KEPT, kind=None, query=b"ID=1&Phonenumber=27001666001&Phonenumber=27001666002&Status=A")
    yield bad("a query and a JSON body", good, KEPT, query=b"ID=77&Phonenumber=27001666009&Status=EXPIRED")
    yield bad("a query and a form", b"ID=1&Phonenumber=27001666001&Status=A", KEPT, kind=FORM, query=b"ID=2&Status=B")
    yield bad("5,000 unknown keys", json.dumps({f"k{i}": i for i in range(5000)} | json.loads(good)).encode(), KEPT)
    yield bad("5,000 parameters in a query", None, KEPT, kind=None,
              query=("&".join(f"k{i}={i}" for i in range(4000)) + f"&ID=1&Phonenumber={N}&Status=DELIVRD").encode())
    yield bad("a key of 10 kB", b'{"' + b"k" * 10_000 + b'":1,"id":1,"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    yield bad("an empty key", b'{"":1,"id":1,"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    yield bad("a key with a NUL escaped", b'{"a\\u0000b":1,"id":1,"phoneNumber":"27001666001","status":"DELIVRD"}', KEPT)
    yield bad("half a surrogate pair", text(b'"\\ud83d"'), KEPT, R)
    yield bad("the second half of a surrogate pair first", text(b'"\\ude4f\\ud83d"'), KEPT, R)
    yield bad("a byte order mark before the object", b"\xef\xbb\xbf" + good, KEPT)
    yield bad("noncharacters", text('"\ufffe\uffff\U0010ffff"'.encode()), KEPT, R)
    yield bad("a text that turns the writing direction", text('"\u202e\u2066txt"'.encode()), KEPT, R)
    yield bad("a text of 250,000 bytes", text(b'"' + b"a" * 250_000 + b'"'), KEPT, R)
    yield bad("a text of 40,000 quotes", text(b'"' + b'\\"' * 40_000 + b'"'), KEPT, R)
    yield bad("a text of 40,000 controls", text(b'"' + b"\\u0001" * 40_000 + b'"'), KEPT, R)
    yield bad("a content type of another world", good, KEPT, kind="image/png")
    yield bad("a content type of garbage", good, KEPT, kind="///;;;=,")
    yield bad("a charset that is not UTF-8", good, KEPT, kind="application/json; charset=utf-16")
    yield bad("a body with a GET", good, KEPT, kind=JSON, query=b"GET")


def run(suite):
    cases = list(table())
    names = [case[0] for case in cases]
    assert len(set(names)) == len(names), "two payloads of one name"
    for name, route, query, body, kind, reason in cases:
        with suite.report.case(f"payload: {name}"):
            method = "GET" if body is None or query == b"GET" else "POST"
            if query == b"GET":
                query = b""
            target = "/webhooks" + (f"/{route}" if route else "")
            if query:
                target += "?" + query.decode("latin-1")
            headers = list(suite.auth) + ([("Content-Type", kind)] if kind else [])
            if body and len(body) > 100_000:
                headers.append(("Connection", "close"))
            data = wire.request(method, target, headers, body or b"")
            mark, before = suite.topics.mark(), int(time.time() * 1000)
            with wire.Connection(suite.bridge.url) as connection:
                connection.send(data)
                answer = connection.answer(method)
            after = int(time.time() * 1000)
            check(answer is not None, "the connection ended without an answer")
            equal(answer.status, 200, "status")
            equal(answer.body, b"True", "body of the answer")
            record = suite.topics.one(mark)
            value = record.json
            suite.schemas.validate(value)
            check_kept(value, query, body)
            if reason is not KEPT:
                check_record(suite, record, before, after, "quarantine", "unrecognised", None if value.get("msisdn") is None
                             else value["msisdn"], None)
                check(value.get("reason") in reason, f"reason {value.get('reason')!r}, expected {sorted(reason)}")
    with suite.report.case("payload: after all of them a good request is served, and nothing came twice"):
        count = suite.topics.settle()
        suite.lives()
        equal(suite.topics.count(), count + 1, "records")
