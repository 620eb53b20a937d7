"""Who does not belong gets a 401 that says nothing, and no secret, number or text is anywhere but in the records."""

import base64
import gzip
import hashlib
import hmac
import json
import os
import secrets
import time
import zlib

import wire
from bridge import Bridge
from records import Topics
from report import check, equal


def refused(suite, name, send, topics=None, statuses=(401,)):
    """A request that is not let in: an answer without a reason, and no record."""
    topics = topics or suite.topics
    with suite.report.case(f"auth: {name}"):
        count = topics.count()
        answer = send()
        check(answer.status in statuses, f"status {answer.status}, expected {statuses}")
        if answer.status == 401:
            check(answer.header("www-authenticate"), "401 without WWW-Authenticate (RFC 9110, 11.6.1)")
        equal(answer.body, b"", "body of a refusal")
        equal(topics.count(), count, "records")
        suite.refusals.setdefault(topics.prefix, []).append((name, answer))


def accepted(suite, name, send, topics=None):
    topics = topics or suite.topics
    with suite.report.case(f"auth: {name}"):
        mark = topics.mark()
        answer = send()
        equal(answer.status, 200, "status")
        equal(answer.body, b"True", "body of the answer")
        record = topics.one(mark)
        for secret in suite.forbidden:
            check(secret.encode() not in record.value, "the secret is in the record")


def run(suite):
    suite.refusals = {}
    header(suite)
    if suite.binary:
        path(suite)
        query(suite)
        both(suite)
        signature(suite)
        accounts(suite)
        addresses(suite)
        bodies(suite)
        nothing(suite)
    else:
        suite.report.skip("auth: path, query, both, none", "they need --binary")
    for prefix, answers in suite.refusals.items():
        with suite.report.case(f"auth: all refusals look alike ({len(answers)})"):
            looks = {(a.status, a.body, a.header("www-authenticate"), a.header("content-type")) for _, a in answers
                     if a.status == 401}
            check(len(looks) <= 1, f"{looks}")


def delivery(number="27001777001"):
    return json.dumps({"id": secrets.randbelow(10**12), "phoneNumber": number, "status": "DELIVRD"}).encode()


def header(suite):
    if not suite.secrets:
        return suite.report.skip("auth: header", "the running bridge's secret is not given (--secret)")
    url = suite.target("delivery-status")
    send = lambda *lines, **more: wire.curl(url, data=delivery(), headers=["Content-Type: application/json", *lines], **more)
    name, first = suite.header, suite.secrets[0]
    for index, secret in enumerate(suite.secrets):
        accepted(suite, f"header, value {index + 1} of {len(suite.secrets)}", lambda s=secret: send(f"{name}: {s}"))
    accepted(suite, "header, its name in another case", lambda: send(f"{name.upper()}: {first}"))
    accepted(suite, "header, white space around the value", lambda: send(f"{name}:  \t {first} \t "))
    refused(suite, "no header", send)
    refused(suite, "an empty header", lambda: send(f"{name};"))
    wrong = {
        "wrong": "wrong", "a prefix": first[:-1], "longer": first + "x", "another case": first.swapcase(),
        "the last character changed": first[:-1] + ("x" if first[-1] != "x" else "y"),
        "the first character changed": ("X" if first[0] != "X" else "Y") + first[1:],
        "in quotes": f'"{first}"', "as a bearer": f"Bearer {first}", "of 10 kB": "x" * 10_000,
        "both, with a comma": ",".join(suite.secrets), "twice in one": f"{first}, {first}", "percent-encoded": "%" + first.encode().hex("%"),
    }
    for what, value in wrong.items():
        refused(suite, f"header value {what}", lambda v=value: send(f"{name}: {v}"))
    refused(suite, "the secret in another header", lambda: send(f"Authorization: {first}"))
    refused(suite, "the secret in the query instead", lambda: wire.curl(f"{url}?secret={first}", data=delivery()))
    refused(suite, "the secret in the path instead",
            lambda: wire.curl(f"{suite.bridge.url}/webhooks/{first}/delivery-status", data=delivery()), statuses=(401, 404))
    # A header that is there twice is for nobody to choose from: one wrong value is enough.
    refused(suite, "the header twice, the first wrong", lambda: send(f"{name}: wrong", f"{name}: {first}"), statuses=(400, 401))
    for method in ("GET", "POST"):
        for route in ("", "/reply", "/short-code", "/url-click", "/url-preview"):
            refused(suite, f"{method} /webhooks{route} without a secret",
                    lambda m=method, r=route: wire.curl(f"{suite.bridge.url}/webhooks{r}?a=1", method=m))
    with suite.report.case("auth: a body is not read before the secret was seen"):
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(wire.request("POST", "/webhooks/reply", [("Content-Length", "1000"), ("Expect", "100-continue")],
                                         length=False))
            answer = connection.answer()
        check(answer is not None, "no answer")
        equal((answer.status, answer.informational), (401, []), "status and interim answers")
    # What was refused is private nonetheless.
    suite.private.add("27001777001")


def start(suite, name, environment):
    environment = {"SMSBRIDGE_TOPICS_PARTITIONS": "1", "SMSBRIDGE_TOPICS_REPLICATION": "1", "SMSBRIDGE_LOG_LEVEL": "trace",
                   **environment}
    prefix = f"{suite.prefix}-{name}"
    bridge = Bridge.start(suite.binary, suite.bootstrap, prefix, suite.folder, name, environment)
    suite.bridges.append(bridge)
    topics = Topics(suite.bootstrap, prefix)
    topics.start()
    suite.more_topics = [*getattr(suite, "more_topics", []), topics]
    return bridge, topics


def path(suite):
    secret, other = "path-" + secrets.token_urlsafe(12), "other-" + secrets.token_urlsafe(12)
    suite.forbidden |= {secret, other}
    with suite.report.case("auth: a bridge with path secrets starts"):
        bridge, topics = start(suite, "path", {"SMSBRIDGE_AUTH_PATH_SECRETS": f"{secret},{other}"})
        base = f"{bridge.url}/webhooks"
        click = "type=REDIRECT&msgNumTo=27001777002&customerRef=r&landingPageName=p"
        get = lambda tail: wire.curl(base + tail)
        accepted(suite, "path secret, type's route", lambda: get(f"/{secret}/url-click?{click}"), topics)
        accepted(suite, "path secret, second value", lambda: get(f"/{other}/url-click?{click}"), topics)
        accepted(suite, "path secret, common route", lambda: get(f"/{secret}?{click}"), topics)
        accepted(suite, "path secret, percent-encoded",
                 lambda: get("/" + "".join(f"%{b:02X}" for b in secret.encode()) + f"/url-click?{click}"), topics)
        accepted(suite, "path secret, body", lambda: wire.curl(f"{base}/{secret}/delivery-status", data=delivery()), topics)
        for name, tail in [("slashes before it", f"//{secret}/url-click"), ("slashes behind it", f"/{secret}//url-click/"),
                           ("the type in capitals", f"/{secret}/URL-Click")]:
            accepted(suite, f"path secret, {name}", lambda t=tail: get(f"{t}?{click}"), topics)
        for name, tail in [("wrong path secret", f"/wrong/url-click?{click}"), ("no path secret", f"/url-click?{click}"),
                           ("no path secret, common route", f"?{click}"), ("a path secret's prefix", f"/{secret[:-1]}/url-click?{click}"),
                           ("a path secret with more", f"/{secret}x/url-click?{click}"), ("an empty path secret", f"//url-click?{click}"),
                           ("the path secret behind the type", f"/url-click/{secret}?{click}"),
                           ("the path secret in the query", f"/url-click?secret={secret}&{click}"),
                           ("the path secret in upper case", f"/{secret.upper()}/url-click?{click}"),
                           ("the path secret in another case behind slashes", f"//{secret.swapcase()}//url-click?{click}"),
                           ("slashes within the path secret", f"/{secret[:8]}//{secret[8:]}/url-click?{click}")]:
            refused(suite, name, lambda t=tail: get(t), topics, statuses=(401, 404))
        refused(suite, "the path secret in the header", lambda: wire.curl(
            f"{base}/url-click?{click}", headers=[f"X-Webhook-Secret: {secret}"]), topics, statuses=(401, 404))
        refused(suite, "the right path secret on an unknown route", lambda: get(f"/{secret}/nonsense?{click}"), topics, statuses=(404,))


def query(suite):
    secret = "query-" + secrets.token_urlsafe(12) + ".~_"
    escaped = "".join(f"%{byte:02X}" for byte in secret.encode())
    suite.forbidden |= {secret, escaped, escaped.lower()}
    with suite.report.case("auth: a bridge with a query secret starts"):
        bridge, topics = start(suite, "query", {"SMSBRIDGE_AUTH_QUERY_SECRETS": secret})
        base = f"{bridge.url}/webhooks/url-click"
        click = "type=REDIRECT&msgNumTo=27001777003&customerRef=r&landingPageName=p"
        for name, text in [("last", f"{click}&secret={secret}"), ("first", f"secret={secret}&{click}"),
                           ("in the middle", f"{click}&secret={secret}&Extra=1"), ("escaped", f"secret={escaped}&{click}"),
                           ("escapes in lower case", f"{click}&secret={escaped.lower()}"),
                           ("with its name escaped", f"{click}&%73ecre%74={secret}")]:
            with suite.report.case(f"auth: query secret {name}, cut from the record"):
                mark = topics.mark()
                answer = wire.curl(f"{base}?{text}")
                equal(answer.status, 200, "status")
                record = topics.one(mark)
                kept = record.value.decode()
                for part in suite.forbidden:
                    check(part not in kept, f"the secret is in the record: {kept}")
                check("msgNumTo=27001777003" in kept and "customerRef=r" in kept, f"more than the secret was cut: {kept}")
                equal(record.suffix, "url-click", "topic")
        with suite.report.case("auth: query secret with a JSON body"):
            mark = topics.mark()
            answer = wire.curl(f"{bridge.url}/webhooks/delivery-status?secret={secret}", data=delivery())
            equal(answer.status, 200, "status")
            record = topics.one(mark)
            equal(record.suffix, "delivery-status", "topic")
        with suite.report.case("auth: the secret alone is an empty request, quarantined"):
            mark = topics.mark()
            equal(wire.curl(f"{base}?secret={secret}").status, 200, "status")
            record = topics.one(mark)
            equal((record.suffix, record.json.get("reason")), ("quarantine", "empty"), "topic and reason")
        get = lambda tail: wire.curl(base + tail)
        for name, tail in [("wrong query secret", f"?secret=wrong&{click}"), ("no query secret", f"?{click}"), ("no query", ""),
                           ("an empty query secret", f"?secret=&{click}"), ("a bare query secret", f"?secret&{click}"),
                           ("a query secret's prefix", f"?secret={secret[:-1]}&{click}"),
                           ("the query secret under another name", f"?Secrets={secret}&{click}"),
                           ("the query secret broken", f"?secret=%zz&{click}")]:
            refused(suite, name, lambda t=tail: get(t), topics)
        refused(suite, "two query secrets, the first wrong", lambda: get(f"?secret=wrong&secret={secret}&{click}"), topics,
                statuses=(400, 401))
        refused(suite, "the query secret in a form body", lambda: wire.curl(
            base, data=f"secret={secret}&{click}".encode(), headers=["Content-Type: application/x-www-form-urlencoded"]), topics)


def both(suite):
    in_path, in_header = "both-" + secrets.token_hex(8), "head-" + secrets.token_hex(8)
    suite.forbidden |= {in_path, in_header}
    with suite.report.case("auth: a bridge with two kinds of secret starts"):
        bridge, topics = start(suite, "both", {
            "SMSBRIDGE_AUTH_PATH_SECRETS": in_path, "SMSBRIDGE_AUTH_HEADER_SECRETS": in_header,
            "SMSBRIDGE_AUTH_HEADER_NAME": "X-Other"})
        send = lambda part, *lines: wire.curl(f"{bridge.url}/webhooks{part}/delivery-status", data=delivery(), headers=[*lines])
        accepted(suite, "both kinds", lambda: send(f"/{in_path}", f"X-Other: {in_header}"), topics)
        refused(suite, "the path secret without the header", lambda: send(f"/{in_path}"), topics)
        refused(suite, "the header without the path secret", lambda: send("", f"X-Other: {in_header}"), topics, statuses=(401, 404))
        refused(suite, "the path secret and a wrong header", lambda: send(f"/{in_path}", "X-Other: no"), topics)
        refused(suite, "the header under the default name", lambda: send(f"/{in_path}", f"X-Webhook-Secret: {in_header}"), topics)


def signature(suite):
    """The vendor's scheme, signed by Python's own HMAC."""
    key = "sign-" + secrets.token_urlsafe(24)
    suite.forbidden.add(key)
    public = "https://sms.example.com/in"
    with suite.report.case("auth: a bridge that asks for signatures starts"):
        bridge, topics = start(suite, "signed", {
            "SMSBRIDGE_AUTH_SIGNATURE_SECRETS": key, "SMSBRIDGE_AUTH_SIGNATURE_HEADER": "X-Signature",
            "SMSBRIDGE_AUTH_SIGNATURE_TIMESTAMP_HEADER": "X-Timestamp", "SMSBRIDGE_AUTH_SIGNATURE_BASE_URL": public})

        def send(method="POST", path="/webhooks/delivery-status", body=None, age=0, with_key=key, write=bytes.hex, unit=1, message=None,
                 sent=None, more=()):
            body = delivery() if body is None and method == "POST" else body or b""
            stamp = str(int((time.time() - age) * unit))
            text = message or f"v1:{stamp}|{method}|{public}{path}|".encode() + body
            code = write(hmac.new(with_key.encode(), text, hashlib.sha256).digest())
            return wire.curl(bridge.url + path, data=(sent if sent is not None else body) if method == "POST" else None, method=method,
                             headers=[f"X-Signature: {code}", f"X-Timestamp: {stamp}", *more])

        query = "/webhooks/url-click?type=REDIRECT&msgNumTo=27001777004&customerRef=a%20b&landingPageName=p"
        accepted(suite, "signed", send, topics)
        accepted(suite, "signed GET", lambda: send("GET", query), topics)
        accepted(suite, "signed, Base64", lambda: send(write=lambda b: base64.b64encode(b).decode()), topics)
        accepted(suite, "signed, Base64 for URLs, not padded",
                 lambda: send(write=lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")), topics)
        accepted(suite, "signed in milliseconds", lambda: send(unit=1000), topics)
        accepted(suite, "signed 4 minutes ago", lambda: send(age=240), topics)
        accepted(suite, "signed, a large body", lambda: send(body=delivery() + b" " * 100_000), topics)
        refused(suite, "not signed", lambda: wire.curl(bridge.url + "/webhooks/delivery-status", data=delivery()), topics)
        refused(suite, "signed with another key", lambda: send(with_key=key + "x"), topics)
        refused(suite, "signed 6 minutes ago", lambda: send(age=360), topics)
        refused(suite, "signed for later", lambda: send(age=-360), topics)
        refused(suite, "signed for another body", lambda: send(sent=delivery()), topics)
        refused(suite, "signed without the body", lambda: send(message=b"v1:"), topics)
        refused(suite, "a code that is cut off", lambda: send(write=lambda b: b[:16].hex()), topics)
        refused(suite, "a code of nothing", lambda: send(write=lambda b: ""), topics)
        refused(suite, "two signatures", lambda: send(more=["X-Signature: " + "0" * 64]), topics)
        with suite.report.case("auth: a signed request that comes again is taken, with the same event id"):
            mark, body = topics.mark(), delivery()
            for _ in range(2):
                equal(send(body=body).status, 200, "status")
            ids = [record.json["id"] for record in topics.after(mark, 2)]
            equal(len(set(ids)), 1, "event ids")


def accounts(suite):
    """Secrets of several accounts: each has its own source, and they are not mixed."""
    keys = {name: ("head-" + secrets.token_hex(12), "query-" + secrets.token_hex(12)) for name in ("one", "two")}
    suite.forbidden |= {key for pair in keys.values() for key in pair}
    files = {}
    for name, (in_header, in_query) in keys.items():
        for kind, text in (("header", in_header), ("query", in_query)):
            path = os.path.join(suite.folder, f"{name}-{kind}")
            with open(path, "w") as file:
                file.write(text + "\n")
            files.setdefault(kind, []).append(f"{name}={path}")
    with suite.report.case("auth: a bridge with two accounts starts"):
        bridge, topics = start(suite, "accounts", {
            "SMSBRIDGE_AUTH_HEADER_ACCOUNTS": ",".join(files["header"]), "SMSBRIDGE_AUTH_QUERY_ACCOUNTS": ",".join(files["query"])})
        send = lambda header, query: wire.curl(
            f"{bridge.url}/webhooks/delivery-status?secret={query}", data=delivery(), headers=[f"X-Webhook-Secret: {header}"])
        for name, (in_header, in_query) in keys.items():
            with suite.report.case(f"auth: account {name} is the source of its events"):
                mark = topics.mark()
                equal(send(in_header, in_query).status, 200, "status")
                record = topics.one(mark)
                equal(record.json["account"], name, "account")
                equal(record.header("ce_source"), f"/smsportal/{name}", "ce_source")
        refused(suite, "the header of one account with the query of another", lambda: send(keys["one"][0], keys["two"][1]), topics)
        refused(suite, "the query of one account with the header of another", lambda: send(keys["two"][0], keys["one"][1]), topics)
        refused(suite, "the header of an account twice over", lambda: send(keys["one"][0], keys["one"][0]), topics)


def addresses(suite):
    """Who a trusted proxy says it is, and nobody else's word."""
    vendor = "102.205.164.49"
    with suite.report.case("auth: a bridge behind a proxy starts"):
        bridge, topics = start(suite, "addresses", {
            "SMSBRIDGE_AUTH_ADDRESSES": "smsportal", "SMSBRIDGE_HTTP_TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8"})
        send = lambda *lines: wire.curl(
            bridge.url + "/webhooks/delivery-status", data=delivery(), headers=[f"X-Forwarded-For: {line}" for line in lines])
        for name, lines in {"alone": [vendor], "after others": [f"203.0.113.9, {vendor}"], "before a proxy of ours": [f"{vendor}, 10.0.0.7"],
                            "in an earlier line": [vendor, "10.0.0.7"], "with a port": [f"{vendor}:443"]}.items():
            accepted(suite, f"the vendor's address {name}", lambda l=lines: send(*l), topics)
        for name, lines in {"nobody": [], "somebody": ["203.0.113.9"], "the vendor on the left": [f"{vendor}, 203.0.113.9"],
                            "the vendor in an earlier line": [vendor, "203.0.113.9"], "a name last": [f"{vendor}, unknown"],
                            "octal numbers": ["0146.0315.0244.061"]}.items():
            refused(suite, f"forwarded for {name}", lambda l=lines: send(*l), topics)
    with suite.report.case("auth: a bridge that trusts nobody starts"):
        bridge, topics = start(suite, "no-proxy", {"SMSBRIDGE_AUTH_ADDRESSES": "smsportal"})
        refused(suite, "the vendor's address, said by nobody who is trusted", lambda: wire.curl(
            bridge.url + "/webhooks/delivery-status", data=delivery(), headers=[f"X-Forwarded-For: {vendor}"]), topics)


def bodies(suite):
    """A secret in a body, whatever its form: it authenticates nothing, and is in no record and no line of the log."""
    secret, number, text = "body-" + secrets.token_urlsafe(16), "27001777006", "what-a-subscriber-wrote-" + secrets.token_hex(4)
    suite.forbidden.add(secret)
    suite.private |= {number, text}
    members = {"incomingId": 7, "phoneNumber": number, "incomingData": text, "secret": secret}
    form = "&".join(f"{name}={value}" for name, value in members.items()).encode()
    text_json = json.dumps(members)
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in members.items()).encode()
    urlencoded, multipart = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
    forms = {
        "a form": (urlencoded, "", form), "a form with semicolons": (urlencoded, "", form.replace(b"&secret", b";Secret[]")),
        "a gzip form": (urlencoded, "gzip", gzip.compress(form)),
        "a gzip form without compression": (urlencoded, "gzip", gzip.compress(form, 0)),
        "a form in UTF-16": (urlencoded + "; charset=utf-16", "", form.decode().encode("utf-16")),
        "JSON": ("application/json", "", text_json.encode()), "JSON as text": ("text/plain", "", text_json.encode()),
        "JSON with an escaped name": ("application/json", "", text_json.replace('"secret"', '"\\u0053ecret"').encode()),
        "nested JSON": ("application/json", "", json.dumps({**members, "secret": 1, "more": [{"secret": {"value": secret}}]}).encode()),
        "gzip JSON": ("application/json", "gzip", gzip.compress(text_json.encode())),
        "deflate JSON": ("application/json", "deflate", zlib.compress(text_json.encode())),
        "JSON in UTF-16": ("application/json; charset=utf-16le", "", text_json.encode("utf-16le")),
        "JSON that a text has broken": ("application/json", "", text_json.replace(text, text + ' "5" tall').encode()),
        "JSON that ends early": ("application/json", "", text_json[:-3].encode()),
        "an array": ("application/json", "", f"[{text_json}]".encode()),
        "multipart": (multipart, "", parts + b"--b--\r\n"), "gzip multipart": (multipart, "gzip", gzip.compress(parts + b"--b--\r\n")),
    }
    with suite.report.case("auth: a bridge that lets everything in and logs every request starts"):
        bridge, topics = start(suite, "bodies", {
            "SMSBRIDGE_AUTH_HEADER_SECRETS": secret, "SMSBRIDGE_AUTH_MODE": "log", "SMSBRIDGE_LOG_ACCESS_SAMPLE": "1"})
        for name, (kind, encoding, body) in forms.items():
            headers = [f"Content-Type: {kind}"] + ([f"Content-Encoding: {encoding}"] if encoding else [])
            with suite.report.case(f"auth: a secret in {name} is cut from the record"):
                mark = topics.mark()
                equal(wire.curl(f"{bridge.url}/webhooks/reply", data=body, headers=headers).status, 200, "status")
                value = topics.one(mark).json
                raw = value["raw"]
                kept = raw["body"].encode() if "body" in raw else base64.b64decode(raw["bodyBase64"])
                if raw.get("contentEncoding") and kept[:1] not in b"{[-i":
                    kept = zlib.decompress(kept, 47)
                kept = kept.replace(b"\0", b"").decode("utf-8", "replace")
                check(secret not in kept, f"the secret is kept: {kept}")
                check(number in kept and text in kept, f"more than the secret was cut: {kept}")
                if "part" not in name and name not in ("an array", "JSON that ends early"):
                    equal((value.get("msisdn"), value.get("text", "")[:len(text)]), (number, text), "number and text")
            with suite.report.case(f"auth: {name} at a wrong path is logged without what it holds"):
                before = bridge.log().count('"request rejected"') + bridge.log().count('"request"')
                equal(wire.curl(f"{bridge.url}/webhooks/{secret}/nonsense?secret={secret}&x={number}", data=body, headers=headers).status,
                      404, "status")
                log = bridge.log()
                check(log.count('"request rejected"') + log.count('"request"') > before, "there is no line")
                look(log, {secret}, {number, text})


def nothing(suite):
    with suite.report.case("auth: without any authentication the bridge does not start"):
        try:
            bridge = Bridge.start(suite.binary, suite.bootstrap, f"{suite.prefix}-none", suite.folder, "none", {}, within=15)
        except OSError as error:
            check("ended with" in str(error) and "ended with 0" not in str(error), f"{error}")
            check("auth" in str(error), f"the message does not name the setting: {error}")
        else:
            suite.bridges.append(bridge)
            check(False, "it serves")
    with suite.report.case("auth: auth.none says so aloud"):
        bridge, topics = start(suite, "open", {"SMSBRIDGE_AUTH_NONE": "true"})
        mark = topics.mark()
        equal(wire.curl(f"{bridge.url}/webhooks/delivery-status", data=delivery()).status, 200, "status")
        topics.one(mark)
        check("auth" in bridge.log().lower(), "the log does not mention it")


def leaks(suite):
    """Nothing private in logs, metrics, answers of the private port; no secret in any record."""
    suite.topics.settle()
    numbers, texts = set(), set()
    for record in suite.topics.records:
        value = record.json
        if value.get("msisdn"):
            numbers.add(value["msisdn"])
        for field in ("text", "sentText", "reference"):
            if isinstance(value.get(field), str) and len(value[field]) >= 8:
                texts.add(value[field][:200])
    numbers = {number for number in numbers if number.isdigit() and len(number) >= 9}
    private = suite.private | numbers | texts
    with suite.report.case(f"leaks: the search has something to look for ({len(private)} texts and numbers)"):
        check(len(numbers) >= 20 and len(texts) >= 5 or not suite.binary, f"{len(numbers)} numbers, {len(texts)} texts")
    for bridge in suite.bridges:
        name = bridge.url
        if bridge.log_path:
            with suite.report.case(f"leaks: the log of {name}"):
                log = bridge.log()
                check(log or not bridge.process, "the log is empty")
                look(log, suite.forbidden, private)
        if bridge.admin and (bridge.process is None or bridge.process.poll() is None):
            for page in ("/metrics", "/healthz", "/readyz"):
                with suite.report.case(f"leaks: {page} of {name}"):
                    look(bridge.admin_page(page), suite.forbidden, private)
    for topics in [suite.topics, *getattr(suite, "more_topics", [])]:
        with suite.report.case(f"leaks: the records of {topics.prefix}"):
            topics.settle()
            for record in topics.records:
                whole = (record.key or b"") + record.value + b"".join(n.encode() + (v or b"") for n, v in record.headers)
                look(whole.decode("utf-8"), suite.forbidden, ())


def look(text, secrets_, private):
    for word in [*sorted(secrets_), *private]:
        if word in text:
            check(False, f"{word!r} is there: …{around(text, word)}…")


def around(text, word):
    at = text.index(word)
    return text[max(0, at - 80):at] + "<HERE>" + text[at + len(word):at + len(word) + 40]
