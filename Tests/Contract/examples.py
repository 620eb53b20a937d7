"""The example callbacks of docs/control-panel.md, and more of each generation, with what has to come of them.

`expect` names members of the record's value by path; a member that is not named is held against the JSON Schema alone.
Numbers other than the vendor's sample begin with 27001: nobody can have them.
"""

import json
from dataclasses import dataclass, field
from urllib.parse import quote_plus

EMOJI = "🙏🏽 Ñandú 👨‍👩‍👧‍👦 日本語 العربية עברית हिन्दी ไทย አማርኛ"


@dataclass
class Example:
    name: str
    topic: str
    type: str
    key: str | None
    basis: str
    route: str = ""  # "" for /webhooks
    query: str = ""
    body: bytes | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    method: str | None = None
    time: str | None = None  # occurredAt, if the callback has one
    expect: dict = field(default_factory=dict)
    text: str | None = None
    number: str | None = None  # msisdn, where it is not the key because it is no number


def get(name, topic, type, key, basis, query, **more):
    return Example(name, topic, type, key, basis, query=query, **more)


def post(name, topic, type, key, basis, body, content_type="application/json", **more):
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Example(name, topic, type, key, basis, body=data, content_type=content_type, **more)


def v1_delivery(id=322004213, event=32433326, number="27830123456", date="1%2FJan%2F2021+14%3A04%3A22", status="DELIVRD"):
    return (f"ID={id}&EventID={event}&Phonenumber={number}&DataType=SMS&Data=This+is+sample+text"
            f"&SentDataTime={date}&Status={status}&CustomerID=whatever")


LEGACY = ("ID={id}&EventID=1&Phonenumber={number}&DataType=Sms&Data=Sample+Message&Flash=False"
          "&SentDataTime=16%2fOct%2f2020+12%3a25%3a34&Status=DELIVRD&CustomerID=Test_v1FX&MsgCount=1&GRPName=Test+group+name")
REPLY = ("IncomingID=123456&Phonenumber=27821234567&IncomingData=Example+reply+message"
         "&IncomingDataTime=01%2fJan%2f2021+00%3a00%3a00&SentID=654321&EventID=987654&SentData=Original+outbound+message"
         "&SentDataTime=01%2fJan%2f2000+00%3a00%3a00&CustomerID=customerid&Campaign=&SentMessageGRPName="
         "&SentMessageGRPDesc=&NumberValue1=&NumberValue2=")
CLICK = ("type=REDIRECT&customerRef=your_optional_reference_id&msgNumTo={number}&landingPageVersion=Version1"
         "&landingPageName=ExampleLandingTemplate")
V2_DELIVERY = (b'{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"27123456789",'
               b'"Received":1530013907,"UserReference":"5b3228ad6c8d84001a6e6707"}')
TEMPLATE_DELIVERY = ('{{"customerId":"ref-template","eventId":1179504595,"id":{id},"phoneNumber":"{number}",'
                     '"status":"DELIVRD","sentUtc":1735711200,"receivedUtc":1735718400}}')
SHORT_CODE = ('{{"id":{id},"phoneNumber":"{number}","incomingData":"This is an SMS...","mcc":655,"mnc":"01",'
              '"sc":"40001","keyword":"someone","incomingUtc":1735711200}}')
CLICK_POST = ('{{"phoneNumber":"{number}","customerId":"your_optional_reference_id","type":"REDIRECT",'
              '"interactionUtc":1735718400,"landingPageName":"ExampleLandingTemplate","landingPageVersion":"Version1",'
              '"landingPageComponentId":"button_77"}}')
SAMPLE = "27000000001"


def all_examples():
    delivery = {"status": "DELIVRD", "state": "delivered"}
    v1 = {**delivery, "messageId": "322004213", "batchId": "32433326", "reference": "whatever",
          "sentText": "This is sample text"}
    legacy = {**delivery, "messageId": "9120243", "batchId": "1", "reference": "Test_v1FX", "sentText": "Sample Message",
              "group.name": "Test group name"}
    reply = {"text": "Example reply message", "messageId": "123456", "sentMessageId": "654321", "batchId": "987654",
             "sentText": "Original outbound message", "sentAt": "1999-12-31T22:00:00Z", "reference": "customerid"}
    click = {"interaction": "REDIRECT", "reference": "your_optional_reference_id", "landingPage.version": "Version1",
             "landingPage.name": "ExampleLandingTemplate"}
    v2 = {**delivery, "batchId": "1179504595", "network.mcc": "655", "network.mnc": "01",
          "reference": "5b3228ad6c8d84001a6e6707"}
    short = {"text": "This is an SMS...", "shortCode": "40001", "keyword": "someone",
             "network.mcc": "655", "network.mnc": "01"}
    D, R, S, C, P = "delivery-status", "reply", "short-code", "url-click", "url-preview"
    n = "27001000"
    examples = [
        # A and V1: GET, the vendor's own examples, on the type's route and on the common one.
        get("V1 GET delivery", D, D, "27830123456", "vendor", v1_delivery(), route=D, time="2021-01-01T12:04:22Z", expect=v1),
        get("V1 GET delivery, common route", D, D, "27830123456", "vendor", v1_delivery(), time="2021-01-01T12:04:22Z",
            expect=v1),
        get("legacy GET delivery, sample number", "test", D, SAMPLE, "vendor", LEGACY.format(id=9120243, number=SAMPLE), route=D,
            time="2020-10-16T10:25:34Z", expect=legacy),
        get("legacy GET delivery", D, D, n + "101", "vendor", LEGACY.format(id=9120101, number=n + "101"), route=D,
            time="2020-10-16T10:25:34Z", expect={**legacy, "messageId": "9120101"}),
        Example("legacy POST with the data in the URL", D, D, n + "102", "vendor", route=D, method="POST", body=b"",
                query=LEGACY.format(id=9120102, number=n + "102"), time="2020-10-16T10:25:34Z",
                expect={**legacy, "messageId": "9120102"}),
        get("GET reply", R, R, "27821234567", "vendor", REPLY, route=R, time="2020-12-31T22:00:00Z", expect=reply),
        get("GET reply, common route", R, R, "27821234567", "vendor", REPLY, time="2020-12-31T22:00:00Z", expect=reply),
        get("GET click, sample number", "test", C, SAMPLE, "reception", CLICK.format(number=SAMPLE), route=C, expect=click),
        get("GET click", C, C, n + "103", "reception", CLICK.format(number=n + "103"), route=C, expect=click),
        get("GET click, common route", C, C, n + "104", "reception", CLICK.format(number=n + "104"), expect=click),
        get("GET preview", P, P, n + "105", "reception", CLICK.format(number=n + "105").replace("REDIRECT", "PREVIEW"),
            route=P, expect={**click, "interaction": "PREVIEW"}),
        # V2: POST, the body is JSON whatever the content type says.
        post("V2 POST delivery", D, D, "27123456789", "fields", V2_DELIVERY, route=D, time="2018-06-26T11:51:47Z", expect=v2),
        post("V2 POST delivery, common route", D, D, "27123456789", "fields", V2_DELIVERY, time="2018-06-26T11:51:47Z",
             expect=v2),
        post("V2 POST delivery as text/plain", D, D, "27123456789", "fields", V2_DELIVERY, "text/plain", route=D,
             time="2018-06-26T11:51:47Z", expect=v2),
        post("V2 POST delivery without a content type", D, D, "27123456789", "fields", V2_DELIVERY, None, route=D,
             time="2018-06-26T11:51:47Z", expect=v2),
        post("V2 POST delivery called a form by its content type", D, D, "27123456789", "fields", V2_DELIVERY,
             "application/x-www-form-urlencoded", route=D, time="2018-06-26T11:51:47Z", expect=v2),
        post("V2 POST delivery, keys in another case", D, D, "27123456789", "fields",
             V2_DELIVERY.replace(b"EventId", b"EventID").replace(b"MsgCount", b"Msgcount"), route=D,
             time="2018-06-26T11:51:47Z", expect=v2),
        post("V2 POST delivery, keys in lower case", D, D, "27123456789", "fields",
             json.dumps({k.lower(): v for k, v in json.loads(V2_DELIVERY).items()}).encode(), route=D,
             time="2018-06-26T11:51:47Z", expect=v2),
        post("V2 POST reply", R, R, n + "106", "vendor",
             {"To": "40001", "Id": 9007199254740993, "EventId": 9223372036854775807, "Message": EMOJI, "Msisdn": n + "106",
              "Received": 1735711200, "UserReference": "ref-v2-reply"}, route=R, time="2025-01-01T06:00:00Z", text=EMOJI,
             expect={"text": EMOJI, "messageId": "9007199254740993", "batchId": "9223372036854775807",
                     "destination": "40001", "reference": "ref-v2-reply"}),
        # Templates with their default keys.
        post("template delivery, sample number", "test", D, SAMPLE, "vendor", TEMPLATE_DELIVERY.format(id=9120243, number=SAMPLE).encode(),
             route=D, time="2025-01-01T08:00:00Z", expect={**delivery, "messageId": "9120243", "batchId": "1179504595"}),
        post("template delivery", D, D, n + "107", "vendor", TEMPLATE_DELIVERY.format(id=9120107, number=n + "107").encode(), route=D,
             time="2025-01-01T08:00:00Z", expect={**delivery, "messageId": "9120107", "reference": "ref-template"}),
        post("template reply", R, R, n + "108", "vendor",
             {"sourcePhoneNumber": n + "108", "incomingData": "Ja, môre", "destinationPhoneNumber": "2740001",
              "incomingId": 18014398509481985, "eventId": 4, "incomingUtc": 1735711200, "customerId": "c-1"}, route=R,
             time="2025-01-01T06:00:00Z",
             expect={"text": "Ja, môre", "messageId": "18014398509481985", "batchId": "4", "destination": "2740001",
                     "reference": "c-1"}),
        post("template reply, id under its other name", R, R, n + "109", "vendor",
             {"sourcePhoneNumber": n + "109", "incomingData": "ok", "id": 77, "incomingUtc": 1735711200}, route=R,
             time="2025-01-01T06:00:00Z", expect={"text": "ok", "messageId": "77"}),
        post("template short code, sample number", "test", S, SAMPLE, "vendor", SHORT_CODE.format(id=3019843, number=SAMPLE).encode(),
             route=S, time="2025-01-01T06:00:00Z", expect={**short, "messageId": "3019843"}),
        post("template short code", S, S, n + "110", "vendor", SHORT_CODE.format(id=3019110, number=n + "110").encode(), route=S,
             time="2025-01-01T06:00:00Z", expect=short),
        post("template short code, common route", S, S, n + "111", "vendor", SHORT_CODE.format(id=3019111, number=n + "111").encode(),
             time="2025-01-01T06:00:00Z", expect=short),
        post("template click, sample number", "test", C, SAMPLE, "fields", CLICK_POST.format(number=SAMPLE).encode(), route=C,
             time="2025-01-01T08:00:00Z", expect={**click, "landingPage.componentId": "button_77"}),
        post("template click", C, C, n + "112", "fields", CLICK_POST.format(number=n + "112").encode(), route=C,
             time="2025-01-01T08:00:00Z", expect={**click, "landingPage.componentId": "button_77"}),
        post("template click, common route", C, C, n + "113", "fields", CLICK_POST.format(number=n + "113").encode(),
             time="2025-01-01T08:00:00Z", expect=click),
        post("template preview", P, P, n + "114", "fields",
             CLICK_POST.format(number=n + "114").replace("REDIRECT", "PREVIEW").encode(), route=P,
             time="2025-01-01T08:00:00Z", expect={**click, "interaction": "PREVIEW"}),
        get("template GET delivery", D, D, n + "115", "vendor",
            f"customerId=c&eventId=5&id=6&phoneNumber={n}115&status=EXPIRED&sentUtc=1735711200&receivedUtc=1735718400",
            route=D, time="2025-01-01T08:00:00Z", expect={"status": "EXPIRED", "state": "failed", "messageId": "6"}),
        get("template GET reply", R, R, n + "116", "vendor",
            f"sourcePhoneNumber={n}116&incomingData={quote_plus(EMOJI)}&id=8&incomingUtc=1735711200", route=R,
            time="2025-01-01T06:00:00Z", text=EMOJI, expect={"text": EMOJI, "messageId": "8"}),
        get("template GET short code", S, S, n + "117", "vendor",
            f"id=9&phoneNumber={n}117&incomingData=a%2Bb%3Dc%26d&sc=40001&keyword=x&incomingUtc=1735711200", route=S,
            time="2025-01-01T06:00:00Z", expect={"text": "a+b=c&d", "shortCode": "40001", "keyword": "x"}),
        # Form-encoded bodies are read like a query.
        post("form POST delivery", D, D, n + "118", "vendor", v1_delivery(id=118, number=n + "118").encode(),
             "application/x-www-form-urlencoded", route=D, time="2021-01-01T12:04:22Z", expect={**v1, "messageId": "118"}),
        post("form POST reply, escapes in upper and lower case", R, R, n + "119", "vendor",
             f"IncomingID=5&Phonenumber={n}119&IncomingData=%c3%A9%F0%9f%98%80+x&IncomingDataTime=1%2fJan%2f2021+0%3A00%3a00"
             .replace("+0%3A", "+00%3A").encode(), "application/x-www-form-urlencoded; charset=UTF-8", route=R,
             time="2020-12-31T22:00:00Z", expect={"text": "é😀 x", "messageId": "5"}),
        # Texts that tend to break.
        post("a text of quotes, controls and escapes", R, R, n + "120", "vendor",
             {"sourcePhoneNumber": n + "120", "id": 10, "incomingUtc": 1735711200,
              "incomingData": "\"q\" \\ / \n\r\t\b\f \u0000\u001f\u007f\u2028 </script> %41 @@Name@@"}, route=R,
             time="2025-01-01T06:00:00Z",
             expect={"text": "\"q\" \\ / \n\r\t\b\f \u0000\u001f\u007f\u2028 </script> %41 @@Name@@"}),
        post("a text in escaped surrogate pairs", R, R, n + "121", "vendor",
             b'{"sourcePhoneNumber":"27001000121","id":11,"incomingUtc":1735711200,"incomingData":"\\ud83d\\ude4f \\u00e9"}',
             route=R, time="2025-01-01T06:00:00Z", expect={"text": "🙏 é"}),
        post("an empty text", R, R, n + "122", "vendor",
             {"sourcePhoneNumber": n + "122", "id": 12, "incomingUtc": 1735711200, "incomingData": ""}, route=R,
             time="2025-01-01T06:00:00Z"),
        post("a long text", R, R, n + "123", "vendor",
             {"sourcePhoneNumber": n + "123", "id": 13, "incomingUtc": 1735711200, "incomingData": "lang é " * 5000}, route=R,
             time="2025-01-01T06:00:00Z", expect={"text": "lang é " * 5000}),
        post("unknown parameters", D, D, n + "124", "vendor",
             {"id": 14, "phoneNumber": n + "124", "status": "DELIVRD", "receivedUtc": 1735718400, "newThing": {"a": [1, None]},
              "price": 0.25, "flag": True, "nothing": None}, route=D, time="2025-01-01T08:00:00Z", expect=delivery),
        get("repeated and unknown parameters in a query", D, D, n + "125", "vendor",
            f"{v1_delivery(id=15, number=n + '125')}&Extra=1&Extra=2&Empty=&Bare", route=D, time="2021-01-01T12:04:22Z",
            expect=delivery),
    ]
    examples += numbers()
    for index, (status, state) in enumerate(
            [("UNDELIV", "failed"), ("EXPIRED", "failed"), ("BLIST", "failed"), ("SUBMITD", "pending"), ("STAGED", "pending"),
             ("CANCELLED", "failed"), ("NOROUTE", "failed"), ("SOMETHINGNEW", "unknown")]):
        number = f"{n}2{index:02}"
        examples.append(
            get(f"status {status}", D, D, number, "vendor", v1_delivery(id=500 + index, number=number, status=status), route=D,
                time="2021-01-01T12:04:22Z", expect={"status": status, "state": state}))
    for index, (text, expected) in enumerate(
            [("STOP", True), ("stop.", True), ("Unsubscribe", True), ("Opt-Out", True), ("opt out", True), ("optout", None),
             (" Quit! ", True), ("DELETE", True), ("spam", True), ("Remove", True), ("please stop", False), ("stopper", False)]):
        number = f"{n}3{index:02}"
        expect = {"text": text} if expected is None else {"text": text, "optOut": expected}
        examples.append(
            post(f"opt-out reply {text!r}", R, R, number, "vendor",
                 {"sourcePhoneNumber": number, "incomingData": text, "id": 600 + index, "incomingUtc": 1735711200}, route=R,
                 time="2025-01-01T06:00:00Z", expect=expect))
        if expected is not None:
            examples.append(
                post(f"opt-out short code {text!r}", S, S, number, "vendor",
                     {"phoneNumber": number, "incomingData": text, "id": 700 + index, "incomingUtc": 1735711200, "sc": "40001"},
                     route=S, time="2025-01-01T06:00:00Z", expect=expect))
    return examples


def numbers():
    """One subscriber's number in the ways that it is written, and what only looks like a number."""
    D, R = "delivery-status", "reply"
    written = [
        # As text: (msisdn as sent, key or None).
        ("27001000401.0", "27001000401"), ("27001000402.00", "27001000402"), ("+27001000403", "27001000403"),
        ("0027001000404", "27001000404"), ("+27 (0)82 100 0405", "27821000405"), ("27(0)821000406", "27821000406"),
        ("+27 82-100 0407.0", "27821000407"), ("(082) 100-0408", "0821000408"), ("+27.821000409", "27821000409"),
        ("+91 98765 43210", "919876543210"), ("27.82.100.0411", "27821000411"),
        ("2782123 2783456", None), ("27001000413.5", None), ("-27001000414", None), ("27001000415-", None), ("27.000", None),
        ("+0821000417", None), ("000821000418", None), ("+27 (082) 100 0419", None), ("27001000420;27001000421", None),
        ("27.821000422", None), ("27001000423e3", None), ("27,001,000,424", None), ("27.82.100.0425.0", None),
    ]
    for index, (text, key) in enumerate(written):
        yield post(f"the number {text!r}", D, D, key, "vendor", {"id": 800 + index, "phoneNumber": text, "status": "DELIVRD"},
                   route=D, number=None if key else text)
        yield get(f"the number {text!r} in a query", D, D, key, "vendor",
                  f"id={840 + index}&phoneNumber={quote_plus(text)}&status=DELIVRD", route=D, number=None if key else text)
    for index, (source, key) in enumerate(
            [("27001000431", "27001000431"), ("27001000432.0", "27001000432"), ("27001000433.000", "27001000433"),
             ("27001000434.5", None), ("27.001000435", None), ("-27001000436", None), ("2.7001000437e10", None)]):
        yield post(f"the JSON number {source}", D, D, key, "vendor",
                   f'{{"id":{880 + index},"phoneNumber":{source},"status":"DELIVRD"}}'.encode(), route=D,
                   number=None if key else source)
    yield post("an opt-out of a number with a fraction of zeros", R, R, "27001000440", "vendor",
               b'{"id":890,"sourcePhoneNumber":27001000440.0,"incomingData":"Stop"}', route=R,
               expect={"optOut": True, "msisdn": "27001000440"})
    for index, (source, time) in enumerate(
            [("1735718400.0", "2025-01-01T08:00:00Z"), ('"1735718400.00"', "2025-01-01T08:00:00Z"), ("1735718400.5", None),
             ("1.7357184e9", None), ("-1735718400", None), ('"31/Feb/2025 10:00:00"', None)]):
        number = f"270010004{50 + index}"
        yield post(f"the time {source}", D, D, number, "vendor",
                   f'{{"id":{900 + index},"phoneNumber":"{number}","status":"DELIVRD","receivedUtc":{source}}}'.encode(), route=D,
                   time=time)
    for index, (source, parts) in enumerate([("2", 2), ("2.0", 2), ("2.5", None), ("-2", None)]):
        number = f"270010004{60 + index}"
        yield post(f"{source} parts", D, D, number, "vendor",
                   f'{{"id":{910 + index},"phoneNumber":"{number}","status":"DELIVRD","msgCount":{source}}}'.encode(), route=D,
                   expect={"parts": parts})
    yield post("an id with a fraction is no id", D, D, "27001000470", "reception",
               b'{"id":9120243.0,"phoneNumber":"27001000470","status":"DELIVRD"}', route=D, expect={"messageId": "9120243.0"})


def pairs():
    """Pairs of callbacks and whether they are the same event: (name, first, second, same)."""
    def click(**changes):
        return json.dumps({**json.loads(CLICK_POST.format(number="27001000900")), **changes}).encode()

    def v2(**changes):
        return json.dumps({**json.loads(V2_DELIVERY), **changes}).encode()

    def reply(**changes):
        return json.dumps({"sourcePhoneNumber": "27001000901", "incomingData": "hi", "id": 21, "incomingUtc": 1735711200,
                           **changes}).encode()

    D, R, S, C, P = "delivery-status", "reply", "short-code", "url-click", "url-preview"
    q = lambda route, text: Example("", "", route, None, "", route=route, query=text)
    b = lambda route, data, kind="application/json": Example("", "", route, None, "", route=route, body=data, content_type=kind)
    yield "a V1 delivery again", q(D, v1_delivery()), q(D, v1_delivery()), True
    yield "the same message with another status", q(D, v1_delivery()), q(D, v1_delivery(status="EXPIRED")), False
    yield "another message", q(D, v1_delivery()), q(D, v1_delivery(id=1)), False
    yield "the same batch, another message", q(D, v1_delivery(id=2)), q(D, v1_delivery(id=3)), False
    yield "a reply again", q(R, REPLY), q(R, REPLY), True
    yield "another reply", q(R, REPLY), q(R, REPLY.replace("IncomingID=123456", "IncomingID=123457")), False
    yield "the same id as reply and as short code", b(R, reply()), b(S, reply()), False
    yield "a V2 delivery again", b(D, V2_DELIVERY), b(D, V2_DELIVERY), True
    yield "a V2 delivery, keys in another order", b(D, V2_DELIVERY), b(
        D, json.dumps(dict(reversed(json.loads(V2_DELIVERY).items()))).encode()), True
    yield "a V2 delivery, keys in another case", b(D, V2_DELIVERY), b(
        D, json.dumps({k.upper(): v for k, v in json.loads(V2_DELIVERY).items()}).encode()), True
    yield "a V2 delivery, other white space", b(D, V2_DELIVERY), b(D, json.dumps(json.loads(V2_DELIVERY), indent=2).encode()), True
    for key, value in [("Status", "EXPIRED"), ("EventId", 5), ("Msisdn", "27123456780"), ("Received", 1530013908),
                       ("UserReference", "other"), ("Mnc", "02"), ("Mnc", ""), ("MsgCount", 2), ("Mcc", None)]:
        yield f"a V2 delivery with another {key} ({value!r})", b(D, V2_DELIVERY), b(D, v2(**{key: value})), False
    without = json.loads(V2_DELIVERY)
    del without["UserReference"]
    yield "a field absent and the same one empty", b(D, json.dumps(without).encode()), b(D, v2(UserReference="")), False
    yield "values that run together", b(D, v2(Mnc="0", UserReference="1x")), b(D, v2(Mnc="01", UserReference="x")), False
    yield "a text's letter case", b(C, click(customerId="Ref")), b(C, click(customerId="ref")), False
    yield "a click again", b(C, click()), b(C, click()), True
    yield "a click a second later", b(C, click()), b(C, click(interactionUtc=1735718401)), False
    yield "a click on another component", b(C, click()), b(C, click(landingPageComponentId="b2")), False
    yield "a click and a preview", b(C, click()), b(P, click(type="PREVIEW")), False
    yield "a GET click without id and time", q(C, CLICK.format(number="27001000902")), q(
        C, CLICK.format(number="27001000902")), False
    yield "ids beyond 2^53 that floating point takes for the same", b(R, reply(id=9007199254740992)), b(
        R, reply(id=9007199254740993)), False
    # Twins: the wire cannot tell them apart, so they are one by design (docs/control-panel.md: V2 has no id of the message).
    yield "twin: two V2 parts of one batch alike in every field within a second", b(D, v2(MsgCount=2)), b(D, v2(MsgCount=2)), True
    yield "twin: one landing page clicked twice within a second", b(C, click(customerId="t")), b(C, click(customerId="t")), True
    yield "twin: the id alone is the event, other fields may differ", b(R, reply()), b(R, reply(extra="added later")), True
