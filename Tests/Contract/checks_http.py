"""Bad input at the level of HTTP, over raw sockets, and what the routes do.

Every bad request carries the right secret, so that nothing but the rule it breaks can be the reason, and is followed on
the same connection by a good request. That one must never be served: whoever stands in front took it for something else.
"""

import os
import re
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import wire
from raw import raw_query
from report import check, equal

CLOSED = 0  # among the expected statuses: the connection ends without an answer
B = {400}


def table(suite):
    """(name, bytes, expected statuses)"""
    auth = "".join(f"{name}: {value}\r\n" for name, value in suite.auth).encode()
    post = b"POST /webhooks/delivery-status HTTP/1.1\r\nHost: bridge.test\r\n" + auth
    body = (b'{"Status":"DELIVRD","EventId":1,"Msisdn":"27001888001","Received":1735711200,"UserReference":"refused"}')
    length = b"Content-Length: %d\r\n" % len(body)

    def line(first):
        return first + b"\r\nHost: bridge.test\r\n" + auth + length + b"\r\n" + body

    def head(*lines, ending=b"\r\n"):
        return post + length + b"".join(text + ending for text in lines) + b"\r\n" + body

    def framed(*lines, data=body):
        return post + b"".join(text + b"\r\n" for text in lines) + b"\r\n" + data

    def chunked(data, *lines):
        return framed(b"Transfer-Encoding: chunked", *lines, data=data)

    chunk = b"%x\r\n%s\r\n" % (len(body), body)

    # The request line.
    yield "no method", line(b" /webhooks/delivery-status HTTP/1.1"), B
    yield "no target", line(b"POST  HTTP/1.1"), B
    yield "two words", line(b"POST /webhooks/delivery-status"), B
    yield "HTTP/0.9", b"GET /webhooks/delivery-status?ID=1\r\n", B
    yield "one word", line(b"POST"), B
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/2"):
        yield f"version {version.decode()}", line(b"POST /webhooks/delivery-status " + version), B
    for version in (b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.01", b"http/1.1", b"Http/1.1", b"HTTP/1,1", b"HTTP/1.", b"HTTP/.1", b"HTTP/11",
                    b"HTTP/1.1.1", b"HTTP/+1.1", b"HTTP/1.x", b"HTTPS/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"XTTP/1.1", b"HTTP/1.1x",
                    "HTTP/１.１".encode()):
        yield f"version {version.decode()!r}", line(b"POST /webhooks/delivery-status " + version), B
    yield "a word behind the version", line(b"POST /webhooks/delivery-status HTTP/1.1 x"), B
    yield "a space behind the version", line(b"POST /webhooks/delivery-status HTTP/1.1 "), B
    yield "a space before the method", line(b" POST /webhooks/delivery-status HTTP/1.1"), B
    yield "two spaces before the target", line(b"POST  /webhooks/delivery-status HTTP/1.1"), B
    yield "two spaces behind the target", line(b"POST /webhooks/delivery-status  HTTP/1.1"), B
    yield "tabs in the request line", line(b"POST\t/webhooks/delivery-status\tHTTP/1.1"), B
    yield "a vertical tab in the request line", line(b"POST /webhooks/delivery-status\x0bHTTP/1.1"), B
    yield "a space within the target", line(b"POST /webhooks/delivery status HTTP/1.1"), B
    for byte in (0x00, 0x01, 0x0B, 0x1B, 0x7F):
        yield f"byte {byte:02X} in the target", line(b"POST /webhooks/delivery-status?a=%c HTTP/1.1" % byte), B
        yield f"byte {byte:02X} in the method", line(b"PO%cST /webhooks/delivery-status HTTP/1.1" % byte), B
    for byte in (0x80, 0xC3, 0xFF):
        yield f"byte {byte:02X} in the method", line(b"POST%c /webhooks/delivery-status HTTP/1.1" % byte), B
    for mark in b"(),/:;<=>?@[]{}\"\\":
        yield f"{chr(mark)} in the method", line(b"PO%cST /webhooks/delivery-status HTTP/1.1" % mark), B
    yield "a method of 10 kB", line(b"P" * 10_000 + b" /webhooks/delivery-status HTTP/1.1"), B | {414, 431, 405}
    yield "a bare CR in the target", line(b"POST /webhooks/deli\rvery-status HTTP/1.1"), B
    yield "a bare CR behind the version", line(b"POST /webhooks/delivery-status HTTP/1.1\r"), B
    yield "a fragment in the target", line(b"POST /webhooks/delivery-status#x HTTP/1.1"), B
    yield "a target without a slash", line(b"POST webhooks/delivery-status HTTP/1.1"), B
    yield "the target * with POST", line(b"POST * HTTP/1.1"), B
    yield "the target ? with POST", line(b"POST ?a=1 HTTP/1.1"), B
    yield "an authority as target with POST", line(b"POST bridge.test:80 HTTP/1.1"), B
    yield "CONNECT", line(b"CONNECT bridge.test:80 HTTP/1.1"), B | {404, 405}
    yield "an absolute target without authority", line(b"POST http:///webhooks/delivery-status HTTP/1.1"), B
    yield "an absolute target of another scheme", line(b"POST ftp://bridge.test/webhooks/delivery-status HTTP/1.1"), B | {404, 421}
    yield "an absolute target with a user", line(b"POST http://user@bridge.test/webhooks/delivery-status HTTP/1.1"), B
    yield "an absolute target with a broken port", line(b"POST http://bridge.test:x/webhooks/delivery-status HTTP/1.1"), B
    yield "a target of 70 kB", line(b"POST /webhooks/delivery-status?a=" + b"a" * 70_000 + b" HTTP/1.1"), {414}
    yield "a target of 1 MB", line(b"POST /webhooks/delivery-status?a=" + b"a" * 1_000_000 + b" HTTP/1.1"), {414}
    yield "two empty lines before the request", b"\r\n\r\n" + line(b"POST /webhooks/delivery-status HTTP/1.1"), B
    yield "a bare LF before the request", b"\n" + line(b"POST /webhooks/delivery-status HTTP/1.1"), B
    yield "a bare CR before the request", b"\r" + line(b"POST /webhooks/delivery-status HTTP/1.1"), B
    yield "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", B
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n", B | {CLOSED}
    yield "zeros", bytes(1000), B | {CLOSED}
    yield "all bytes", bytes(range(256)) * 4 + b"\r\n\r\n", B | {CLOSED}
    yield "the PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + line(b"POST /webhooks/delivery-status HTTP/1.1"), B
    yield "SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", B

    # Lines and fields.
    yield "LF for every line end", line(b"POST /webhooks/delivery-status HTTP/1.1").replace(b"\r\n", b"\n"), B
    yield "LF behind the request line", line(b"POST /webhooks/delivery-status HTTP/1.1").replace(b"\r\n", b"\n", 1), B
    yield "LF behind a field", post + length + b"X: y\n\r\n" + body, B
    yield "LF for the empty line", post + length + b"\n" + body, B
    yield "CR for the empty line", post + length + b"\rX" + body, B
    yield "CR CR LF behind a field", head(b"X: y\r"), B
    for byte in (0x00, 0x01, 0x07, 0x08, 0x0B, 0x0C, 0x0D, 0x1F, 0x7F):
        yield f"byte {byte:02X} in a field's value", head(b"X: a%cb" % byte), B
    yield "a NUL at the end of a value", head(b"X: a\x00"), B
    yield "a bare LF in a value", head(b"X: a\nY: b"), B
    yield "a space before the colon", head(b"X : a"), B
    yield "a tab before the colon", head(b"X\t: a"), B
    yield "a space before the colon of Content-Length", framed(b"Content-Length : %d" % len(body)), B
    yield "a space before the colon of Transfer-Encoding", post + length + b"Transfer-Encoding : chunked\r\n\r\n" + body, B
    yield "a folded field", head(b"X: a\r\n b"), B
    yield "a field folded by a tab", head(b"X: a\r\n\tb"), B
    yield "a folded Transfer-Encoding", post + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + chunk + b"0\r\n\r\n", B
    yield "a space before the first field", (
        b"POST /webhooks/delivery-status HTTP/1.1\r\n Host: bridge.test\r\n" + auth + length + b"\r\n" + body), B
    yield "a line of one space", head(b" "), B
    yield "a field without a colon", head(b"Nonsense"), B
    yield "a field without a name", head(b": a"), B
    for byte in (0x00, 0x01, 0x20, 0x7F, 0x80, 0xC3, 0xFF):
        yield f"byte {byte:02X} in a field's name", head(b"X%cY: a" % byte), B
    for mark in b"(),/;<=>?@[]{}\"\\":
        yield f"{chr(mark)} in a field's name", head(b"X%cY: a" % mark), B
    yield "no Host", b"POST /webhooks/delivery-status HTTP/1.1\r\n" + auth + length + b"\r\n" + body, B
    yield "Host twice, alike", head(b"Host: bridge.test"), B
    yield "Host twice, another", head(b"host: other.test"), B
    for host in (b"a b", b"a/b", b"a@b", b"a?b", b"a#b", b"a, b", b"a:b", b"a:80:90", b"[::1", b"a\\b", b"http://a"):
        yield f"Host {host.decode()}", (
            b"POST /webhooks/delivery-status HTTP/1.1\r\nHost: " + host + b"\r\n" + auth + length + b"\r\n" + body), B
    yield "200 fields", head(*[b"X-%d: y" % i for i in range(200)]), {431}
    yield "101 fields", head(*[b"X-%d: y" % i for i in range(98)]), {431}
    yield "a field of 20 kB", head(b"X: " + b"y" * 20_000), {431}
    yield "a field's name of 20 kB", head(b"X" * 20_000 + b": y"), {431}
    yield "fields of 20 kB together", head(*[b"X-%d: " % i + b"y" * 1000 for i in range(20)]), {431}
    yield "a field of 1 MB", head(b"X: " + b"y" * 1_000_000), {431}
    yield "an unknown expectation", head(b"Expect: 200-maybe"), {417}

    # Where the body ends: two kinds of length.
    both = [b"Content-Length: %d" % len(chunk + b"0\r\n\r\n"), b"Transfer-Encoding: chunked"]
    yield "length and chunked", framed(*both, data=chunk + b"0\r\n\r\n"), B
    yield "chunked and length", framed(*reversed(both), data=chunk + b"0\r\n\r\n"), B
    yield "length 0 and chunked", framed(b"Content-Length: 0", b"Transfer-Encoding: chunked", data=chunk + b"0\r\n\r\n"), B
    yield "length and identity", framed(b"Content-Length: %d" % len(body), b"Transfer-Encoding: identity"), B
    yield "two lengths, different", framed(b"Content-Length: %d" % len(body), b"Content-Length: 5"), B
    yield "two lengths, different, the other first", framed(b"Content-Length: 5", b"Content-Length: %d" % len(body)), B
    yield "two lengths, alike", framed(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(body)), B
    yield "a list of lengths, alike", framed(b"Content-Length: %d, %d" % (len(body), len(body))), B
    yield "a list of lengths, different", framed(b"Content-Length: %d, 5" % len(body)), B
    n = len(body)
    for value in (b"+%d" % n, b"-%d" % n, b"-1", b"0x%x" % n, b"%d.0" % n, b"%d;" % n, b'"%d"' % n, b"1e2", b"", b"%d x" % n, b"x",
                  b"1 0", b"%d," % n, b",%d" % n, "１０".encode(), b"\x0b%d" % n, b"%d\x0c" % n, b"0b1", b"%dL" % n, b"~", b"NaN"):
        yield f"the length {value!r}", framed(b"Content-Length: " + value), B
    for value in (b"9" * 19, b"9" * 20, b"18446744073709551616", b"18446744073709551717", b"9" * 100, b"4294967397", b"9223372036854775808"):
        yield f"the length {value.decode()}", framed(b"Content-Length: " + value), B | {413}
    # Transfer codings.
    for value in (b"gzip", b"identity", b"deflate", b"xchunked", b"chunkedx", b"chunked-ish", b"chunk", b"cow"):
        yield f"the coding {value.decode()}", chunked(chunk + b"0\r\n\r\n").replace(b"chunked", value, 1), B
    for value in (b"chunked, gzip", b"chunked, identity", b"chunked, chunked", b"gzip, chunked, chunked", b"chunked;q=1", b'"chunked"', b"",
                  b"chunked;", b"chunked chunked", b"\x0bchunked", b"chunked\x00", b"chunked\x0b", b"chun\tked", b"chunked/1", b"=chunked", b"chunked;a=b"):
        yield f"the coding {value!r}", chunked(chunk + b"0\r\n\r\n").replace(b"chunked", value, 1), B
    yield "gzip, then chunked", chunked(chunk + b"0\r\n\r\n").replace(b"chunked", b"gzip, chunked", 1), B
    yield "chunked in two fields", chunked(chunk + b"0\r\n\r\n", b"Transfer-Encoding: chunked"), B
    yield "chunked and identity in two fields", chunked(chunk + b"0\r\n\r\n", b"Transfer-Encoding: identity"), B
    yield "identity and chunked in two fields", framed(
        b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", data=chunk + b"0\r\n\r\n"), B
    old = b"POST /webhooks/delivery-status HTTP/1.0\r\n" + auth + b"Connection: keep-alive\r\n"
    yield "chunked in HTTP/1.0", old + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n", B
    yield "chunked and a length in HTTP/1.0", old + length + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n", B
    # Chunks.
    size = b"%x" % n
    for text in (b"", b"0x" + size, b"+" + size, b"-" + size, b"-1", b" " + size, b"\t" + size, size + b" ", size + b"\t", b"g", size + b"g", size + b"_", size + b",",
                 size + b"\x00", b"\x00" + size, size + b"\r", '６５'.encode(), b"1.0", b"0b1", b"#" + size):
        yield f"the chunk size {text!r}", chunked(text + b"\r\n" + body + b"\r\n0\r\n\r\n"), B
    for text in (b"f" * 16, b"f" * 17, b"1" + b"0" * 14 + size, b"1" + b"0" * 16, b"8" + b"0" * 15, b"ffffffff", b"f" * 100):
        yield f"the chunk size {text.decode()}", chunked(text + b"\r\n" + body + b"\r\n0\r\n\r\n"), B | {413}
    yield "a chunk longer than it says", chunked(b"5\r\n" + body + b"\r\n0\r\n\r\n"), B
    yield "a chunk shorter than it says", chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (n + 1, body)), B
    yield "LF behind a chunk size", chunked(b"%s\n%s\r\n0\r\n\r\n" % (size, body)), B
    yield "LF behind a chunk", chunked(b"%s\r\n%s\n0\r\n\r\n" % (size, body)), B
    yield "CR behind a chunk", chunked(b"%s\r\n%s\r0\r\n\r\n" % (size, body)), B
    yield "nothing behind a chunk", chunked(b"%s\r\n%s0\r\n\r\n" % (size, body)), B
    yield "a bare CR behind a chunk size", chunked(b"%s\rX\n%s\r\n0\r\n\r\n" % (size, body)), B
    yield "a bare LF in a chunk extension", chunked(b"%s;a\n\r\n%s\r\n0\r\n\r\n" % (size, body)), B
    yield "a bare LF that ends a chunk extension", chunked(b"%s;a=\n%s\r\n0\r\n\r\n" % (size, body)), B
    yield "a bare CR in a chunk extension", chunked(b"%s;a\rb\r\n%s\r\n0\r\n\r\n" % (size, body)), B
    yield "a NUL in a chunk extension", chunked(b"%s;a\x00\r\n%s\r\n0\r\n\r\n" % (size, body)), B
    yield "a chunk extension of 100 kB", chunked(b"%s;%s\r\n%s\r\n0\r\n\r\n" % (size, b"a" * 100_000, body)), B | {413, 431}
    yield "2,000 chunk extensions of 100 bytes", chunked(
        (b"1;" + b"a" * 100 + b"\r\n{\r\n") * 2000 + b"0\r\n\r\n"), B | {413, 431}
    yield "LF behind the last chunk", chunked(chunk + b"0\n\r\n"), B
    yield "LF behind the trailers", chunked(chunk + b"0\r\n\n"), B
    yield "a trailer without a colon", chunked(chunk + b"0\r\nNonsense\r\n\r\n"), B
    yield "a folded trailer", chunked(chunk + b"0\r\nX: a\r\n b\r\n\r\n"), B
    yield "a trailer with a NUL", chunked(chunk + b"0\r\nX: a\x00\r\n\r\n"), B
    yield "a space before a trailer's colon", chunked(chunk + b"0\r\nX : a\r\n\r\n"), B
    yield "a trailer of 100 kB", chunked(chunk + b"0\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"), B | {413, 431}
    yield "10,000 trailers", chunked(chunk + b"0\r\n" + b"X: a\r\n" * 10_000 + b"\r\n"), B | {413, 431}
    # Too large.
    yield "a declared length of 1 MB", framed(b"Content-Length: 1000000", data=b""), {413}
    yield "a declared length of 256 KiB and a byte", framed(b"Content-Length: %d" % (256 * 1024 + 1), data=b""), {413}
    yield "a body of 1 MB", framed(b"Content-Length: 1000000", data=b"a" * 1_000_000), {413}
    yield "chunks of 300 kB in all", chunked(b"1000\r\n%s\r\n" % (b"a" * 4096) * 75 + b"0\r\n\r\n"), {413}
    yield "one chunk of 300 kB", chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (300_000, b"a" * 300_000)), {413}
    yield "300,000 chunks of a byte", chunked(b"1\r\na\r\n" * 300_000 + b"0\r\n\r\n"), {413, 400}


def good_table(suite):
    """Unusual, yet well-formed: (name, bytes, version of the answer's Connection, is kept open). Each makes one record."""
    auth = "".join(f"{name}: {value}\r\n" for name, value in suite.auth).encode()
    body = (b'{"Status":"DELIVRD","EventId":1,"Msisdn":"27001888002","Received":1735711200,"UserReference":"unusual"}')
    length = b"Content-Length: %d\r\n" % len(body)
    first = b"POST /webhooks/delivery-status HTTP/1.1\r\n"
    host = b"Host: bridge.test\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    one = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    tail = auth + length + b"\r\n" + body
    te = auth + b"Transfer-Encoding: chunked\r\n\r\n"
    yield "an empty line before the request", b"\r\n" + first + host + tail, True
    yield "an absolute target", b"POST http://bridge.test/webhooks/delivery-status HTTP/1.1\r\nHost: other.test\r\n" + tail, True
    yield "an absolute target, scheme in upper case", b"POST HTTP://bridge.test:80/webhooks/delivery-status HTTP/1.1\r\n" + host + tail, True
    yield "a Host with an IPv6 address", first + b"Host: [::1]:8080\r\n" + tail, True
    yield "no white space behind colons", first + b"Host:bridge.test\r\n" + tail, True
    yield "tabs and spaces around values", first + b"Host:\t bridge.test \t\r\n" + tail, True
    yield "names in upper case", first + host.upper() + tail.replace(b"Content-Length", b"CONTENT-LENGTH"), True
    yield "a tab and bytes beyond ASCII in a value", first + host + b"X: a\tb \xc3\xa9\xff\r\n" + tail, True
    yield "an empty value", first + host + b"X:\r\nY:  \r\n" + tail, True
    yield "every character of a token in a name", first + host + b"!#$%&'*+-.^_`|~09azAZ: x\r\n" + tail, True
    yield "a length with zeros before it", first + host + auth + b"Content-Length: 000%d\r\n\r\n" % len(body) + body, True
    yield "one chunk", first + host + te + chunk + b"0\r\n\r\n", True
    yield "a chunk for each byte", first + host + te + one + b"0\r\n\r\n", True
    yield "Chunked in another case", first + host + te.replace(b"chunked", b"ChUnKeD") + chunk + b"0\r\n\r\n", True
    yield "chunk sizes in upper case and with zeros", first + host + te + b"0%X\r\n%s\r\n00\r\n\r\n" % (len(body), body), True
    yield "chunk extensions", first + host + te + b'%x;a=b;c="d e";f\r\n%s\r\n0;g\r\n\r\n' % (len(body), body), True
    yield "trailers", first + host + te + chunk + b"0\r\nX: y\r\nServer-Timing: a;dur=1\r\n\r\n", True
    yield "Connection: close", first + host + b"Connection: close\r\n" + tail, False
    yield "Connection: Close among others", first + host + b"Connection: foo, Close\r\n" + tail, False
    yield "Upgrade is not taken up", first + host + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" + tail, True
    yield "HTTP/1.0 without Host", b"POST /webhooks/delivery-status HTTP/1.0\r\n" + tail, False
    yield "HTTP/1.0 with keep-alive", b"POST /webhooks/delivery-status HTTP/1.0\r\nConnection: Keep-Alive\r\n" + tail, True
    yield "HTTP/1.0 with Expect, ignored", b"POST /webhooks/delivery-status HTTP/1.0\r\nExpect: 100-continue\r\n" + tail, False
    yield "an unreserved character escaped in the path", b"POST /webhooks/%64elivery%2Dstatus HTTP/1.1\r\n" + host + tail, True
    yield "a slash behind the path, as people paste it", b"POST /webhooks/delivery-status/ HTTP/1.1\r\n" + host + tail, True
    yield "100 fields", first + host + b"".join(b"X-%d: y\r\n" % i for i in range(97)) + tail, True
    yield "a body of 256 KiB", first + host + auth + b"Content-Length: 262144\r\n\r\n" + body + b" " * (262144 - len(body)), True
    yield "a query of 60 kB", (b"POST /webhooks/delivery-status?Extra=%s HTTP/1.1\r\n" % (b"e" * 60_000)) + host + tail, True


def run(suite):
    bad(suite)
    cut_short(suite)
    good(suite)
    routes(suite)
    expectations(suite)
    pipelining(suite)
    if suite.slow:
        slow(suite)
    else:
        suite.report.skip("http: slow clients", "they take 15 s; --slow runs them")


def bad(suite):
    server_errors = []
    cases = list(table(suite))
    names = [case[0] for case in cases]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    begin = suite.topics.count()
    good_ones = 0
    for name, data, expected in cases:
        with suite.report.case(f"bad HTTP: {name}"):
            count = suite.topics.count()
            reference, smuggled = suite.good_request()
            with wire.Connection(suite.bridge.url) as connection:
                connection.send(data + smuggled)
                try:
                    answer = connection.answer("POST", within=5)
                except TimeoutError:
                    # It may take what follows for a part of the bad one and wait for more: then this has to end it.
                    connection.finish()
                    answer = connection.answer("POST", within=5)
                reset = connection.ended == "reset"
                closed = connection.is_closed(5)
                rest = connection.buffer
            status = answer.status if answer else CLOSED
            if status >= 500:
                server_errors.append(f"{name}: {status}")
            check(status in expected, f"{'reset by the server' if reset else f'status {status}'}, expected {sorted(expected)}")
            if answer:
                equal((answer.header("connection") or "").lower(), "close", "Connection of the answer")
                check(answer.header("date"), "no Date")
            check(not rest, f"more came on the connection: {rest[:200]!r}")
            check(closed, "the connection was not closed")
            check(not (reset and answer is None), "reset: the refusal cannot be read")
            suite.lives()
            good_ones += 1
            equal(suite.topics.count(), count + 1, "records (one is the good request afterwards)")
    with suite.report.case(f"bad HTTP: none of {len(cases)} got a 5xx"):
        check(not server_errors, f"{len(server_errors)}: {'; '.join(server_errors)}")
    with suite.report.case("bad HTTP: nothing was published later"):
        time.sleep(0.5)
        equal(suite.topics.count(), begin + good_ones, "records")


def cut_short(suite):
    """A client that leaves in the middle: nothing is published, nothing stands still."""
    reference, whole = suite.good_request()
    _, chunked = reference, whole.split(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
    end = whole.index(b"\r\n\r\n") + 4
    cuts = [("in the request line", whole[:10]), ("behind the request line", whole[:whole.index(b"\r\n") + 2]),
            ("in a field", whole[:end - 20]), ("behind the head", whole[:end]), ("in the body", whole[:-1]),
            ("in a chunk's size", chunked[:-9]), ("between chunks", chunked), ("behind the last chunk", chunked + b"0\r\n"),
            ("at once", b"")]
    for how in ("half-closed", "closed", "reset"):
        for name, data in cuts:
            with suite.report.case(f"cut short: {how} {name}"):
                count = suite.topics.count()
                with wire.Connection(suite.bridge.url) as connection:
                    connection.send(data)
                    time.sleep(0.01)
                    if how == "half-closed":
                        connection.finish()
                        answer = connection.answer("POST", within=5)
                        check(answer is None or answer.status in (400, 408), f"answer {answer}")
                        check(connection.is_closed(5), "the connection was not closed")
                    elif how == "reset":
                        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                suite.lives()
                equal(suite.topics.count(), count + 1, "records")
    with suite.report.case("cut short: half-closed behind a whole request, which is answered"):
        _, data = suite.good_request()
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(data)
            connection.finish()
            answer = connection.answer()
        check(answer is not None and answer.status == 200, f"answer {answer}")


def good(suite):
    for name, data, stays in good_table(suite):
        with suite.report.case(f"unusual HTTP: {name}"):
            count = suite.topics.count()
            mark = suite.topics.mark()
            with wire.Connection(suite.bridge.url) as connection:
                connection.send(data)
                answer = connection.answer("POST")
                check(answer is not None, "no answer")
                equal(answer.status, 200, "status")
                equal(answer.body, b"True", "body")
                equal(answer.version, "1.1", "version of the answer")
                said = (answer.header("connection") or "").lower()
                if stays:
                    check(said != "close", "the answer says close")
                    if b"HTTP/1.0" in data.split(b"\r\n", 2)[0] + data.split(b"\r\n", 2)[1]:
                        equal(said, "keep-alive", "Connection to HTTP/1.0")
                    _, again = suite.good_request()
                    connection.send(again)
                    second = connection.answer("POST")
                    check(second is not None and second.status == 200, f"the next request got {second}")
                else:
                    equal(said, "close", "Connection of the answer")
                    check(connection.is_closed(3), "the connection was not closed")
            suite.topics.after(mark, 2 if stays else 1)
            equal(suite.topics.count(), count + (2 if stays else 1), "records")


def variants(suite):
    """Ways to write a route that a Control Panel, a proxy or a person produces: each is the route."""
    for route, topic, kind in (("delivery-status", "delivery-status", "delivery-status"), ("reply", "reply", "reply")):
        paths = {
            "two slashes in front": f"//webhooks/{route}", "two slashes within": f"/webhooks//{route}",
            "a slash at the end": f"/webhooks/{route}/", "two slashes at the end": f"/webhooks/{route}//",
            "slashes everywhere": f"///webhooks///{route}///", "a capital each": f"/Webhooks/{route.title()}",
            "in capitals": f"/WEBHOOKS/{route.upper()}", "encoded letters": f"/%77eb%48ooks/%{ord(route[0]):x}{route[1:]}",
            "capitals and slashes": f"//WebHooks//{route.title()}/",
        }
        for name, path in paths.items():
            with suite.report.case(f"routes: {name}: {path}"):
                number, text = "27001888007", f"variant-{secrets.token_hex(4)}"
                query = (f"ID=1&Phonenumber={number}&Status=DELIVRD&CustomerID={text}" if route == "delivery-status"
                         else f"IncomingID=1&Phonenumber={number}&IncomingData={text}")
                value = published(suite, path, query.encode(), topic)
                equal(value["type"], kind, "type")
                equal(value["raw"].get("route"), f"/webhooks/{route}", "route in raw")
    for name, bytes_, text in (("UTF-8", "café ☎ 😀".encode().replace(b" ", b"+"), "café ☎ 😀"), ("UTF-8 beside escapes", b"caf\xc3\xa9+%E2%98%8E", "café ☎"),
                               ("one letter", "é".encode(), "é")):
        with suite.report.case(f"routes: a query of {name}, not escaped"):
            query = b"IncomingID=2&Phonenumber=27001888007&IncomingData=" + bytes_
            value = published(suite, "/webhooks/reply", query, "reply")
            equal(value["text"], text, "text")
            equal(raw_query(value), query, "query in raw")
    for name, bytes_ in (("Latin-1", b"caf\xe9"), ("half a letter", b"caf\xc3"), ("an overlong letter", b"\xc0\xaf"), ("a surrogate", b"\xed\xa0\xbd")):
        with suite.report.case(f"routes: a query of {name}, not escaped, is kept whole in the quarantine"):
            query = b"IncomingID=2&Phonenumber=27001888007&IncomingData=" + bytes_
            value = published(suite, "/webhooks/reply", query, "quarantine")
            equal(value.get("reason"), "invalid-utf-8", "reason")
            equal(raw_query(value), query, "query in raw")


def published(suite, path, query, topic):
    """The value of the one record that a GET makes."""
    mark = suite.topics.mark()
    with wire.Connection(suite.bridge.url) as connection:
        connection.send(wire.request("GET", f"{path}?", suite.auth).replace(b"? ", b"?" + query + b" ", 1))
        answer = connection.answer("GET")
    equal(answer and answer.status, 200, "status")
    record = suite.topics.one(mark)
    equal(record.suffix, topic, "topic")
    suite.schemas.validate(record.json)
    return record.json


def routes(suite):
    url = suite.bridge.url
    auth = suite.auth_lines

    def none(name, statuses, job, more=lambda answer: None):
        with suite.report.case(f"routes: {name}"):
            count = suite.topics.count()
            answer = job()
            check(answer.status in statuses, f"status {answer.status}, expected {statuses}")
            more(answer)
            equal(suite.topics.count(), count, "records")

    variants(suite)
    for path in ("/", "//", "/webhook", "/webhooks/nonsense", "/webhooks/nonsense/", "/webhooks/reply/x", "/webhooks//reply//x", "/reply/webhooks",
                 "/webhooks/reply/webhooks", "/webhooks/unrecognised", "/webhooks/quarantine", "/webhooks/test", "/metrics",
                 "/readyz", "/favicon.ico", "/webhooks%2Freply", "/webhooks/%2e%2e/webhooks/reply", "/webhooks/./reply",
                 "/webhooks/../webhooks/reply", "/.env", "/webhooks/reply%00", "/webhooks/%zz", "/webhooks/reply;a=b"):
        for method in ("GET", "POST"):
            none(f"{method} {path}", (404, 400) if "%" in path else (404,),
                 lambda p=path, m=method: wire.curl(url + p + "?ID=1&Phonenumber=27001888003", method=m, headers=auth))

    def allows(answer):
        allowed = {text.strip() for text in (answer.header("allow") or "").split(",")}
        check({"GET", "POST"} <= allowed, f"Allow {answer.header('allow')!r}")

    for path in ("/webhooks", "/webhooks/delivery-status", "/webhooks/url-click"):
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get", "Post", "BREW"):
            none(f"{method} {path}", (405,),
                 lambda p=path, m=method: wire.curl(url + p + "?ID=1", method=m, headers=auth),
                 lambda a: allows(a) if a.status == 405 else None)
        none(f"OPTIONS {path}", (200, 204, 405),
             lambda p=path: wire.curl(url + p + "?ID=1&Phonenumber=27001888003", method="OPTIONS", headers=auth), allows)
        none(f"HEAD {path}", (200, 204, 405),
             lambda p=path: wire.curl(url + p + "?ID=1&Phonenumber=27001888003", method="HEAD", headers=auth),
             lambda a: equal(a.body[:0], b"", "body"))

    with suite.report.case("routes: HEAD has no body, and the next answer is the next request's"):
        count = suite.topics.count()
        _, data = suite.good_request()
        with wire.Connection(url) as connection:
            connection.send(wire.request("HEAD", "/webhooks/reply?ID=1", suite.auth))
            first = connection.answer("HEAD")
            equal((first.body, first.rest), (b"", b""), "what follows the head")
            if (first.header("connection") or "") != "close":
                connection.send(data)
                equal(connection.answer().status, 200, "status of the next")
                count += 1
        equal(suite.topics.count(), count, "records")

    with suite.report.case("routes: OPTIONS *"):
        with wire.Connection(url) as connection:
            connection.send(wire.request("OPTIONS", "*"))
            answer = connection.answer("OPTIONS")
        check(answer.status in (200, 204), f"status {answer.status}")

    for method in ("GET", "HEAD"):
        none(f"{method} /healthz", (200,), lambda m=method: wire.curl(f"{url}/healthz", method=m),
             lambda a: (equal(a.body, b"", "body"), equal(a.header("content-length"), "0", "Content-Length")))
    none("POST /healthz", (405,), lambda: wire.curl(f"{url}/healthz", method="POST"),
         lambda a: check("GET" in (a.header("allow") or ""), "no Allow"))

    if suite.bridge.admin:
        admin = suite.bridge.admin
        none("private port: /healthz", (200,), lambda: wire.curl(f"{admin}/healthz"))
        none("private port: /readyz", (200,), lambda: wire.curl(f"{admin}/readyz"))
        none("private port: no webhooks", (404,), lambda: wire.curl(f"{admin}/webhooks/reply?ID=1", headers=auth))
        with suite.report.case("private port: /metrics is Prometheus text"):
            answer = wire.curl(f"{admin}/metrics")
            check((answer.header("content-type") or "").startswith("text/plain"), f"content type {answer.header('content-type')}")
            sample = re.compile(
                r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\n]|\\.)*\",?)*\})? (NaN|[+-]Inf|[-+0-9.eE]+)( \d+)?")
            names, typed, seen = set(), {}, set()
            for row in answer.body.decode().splitlines():
                if row.startswith("# TYPE "):
                    _, _, name, kind = row.split(" ")
                    check(name not in typed, f"TYPE of {name} twice")
                    typed[name] = kind
                elif row and not row.startswith("#"):
                    check(sample.fullmatch(row), f"not a sample: {row!r}")
                    check(row.rsplit(" ", 1)[0] not in seen, f"twice: {row!r}")
                    seen.add(row.rsplit(" ", 1)[0])
                    names.add(re.split(r"[ {]", row, maxsplit=1)[0])
            for name in names:
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                check(name in typed or base in typed, f"{name} has no TYPE")
            for name, kind in typed.items():
                if kind == "counter":
                    check(name.endswith("_total"), f"counter {name} does not end in _total")
            check(any(name.startswith("smsbridge_") for name in names), "nothing of the bridge's own")
            for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                         "process_start_time_seconds"):
                check(name in names, f"{name} is missing")
            check(any("build_info" in name for name in names), "no build info")


def expectations(suite):
    with suite.report.case("Expect: 100-continue is answered, then the body is read"):
        _, data = suite.good_request([("Expect", "100-continue")])
        head, _, body = data.partition(b"\r\n\r\n")
        mark = suite.topics.mark()
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(head + b"\r\n\r\n")
            interim = connection.interim()
            check(interim.startswith(b"HTTP/1.1 100"), f"{interim!r}")
            connection.send(body)
            equal(connection.answer().status, 200, "status")
        suite.topics.one(mark)
    with suite.report.case("Expect with the body at once: one final answer"):
        _, data = suite.good_request([("Expect", "100-Continue")])
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(data)
            equal(connection.answer().status, 200, "status")
            check(connection.says_nothing(0.1), f"more came: {connection.buffer!r}")
    for name, target, headers, status in [
            ("without a secret", "/webhooks/reply", [], 401), ("to no route", "/nothing", suite.auth, 404),
            ("by PUT", "/webhooks/reply", suite.auth, 405), ("too large", "/webhooks/reply", suite.auth, 413)]:
        with suite.report.case(f"Expect: 100-continue {name} gets {status} and no 100"):
            length = 10_000_000 if status == 413 else 100
            with wire.Connection(suite.bridge.url) as connection:
                connection.send(wire.request("PUT" if status == 405 else "POST", target,
                                             [*headers, ("Content-Length", length), ("Expect", "100-continue")], length=False))
                answer = connection.answer()
            check(answer is not None, "no answer")
            if status == 401 and not suite.secrets:
                continue
            equal((answer.status, answer.informational), (status, []), "status and interim answers")
    with suite.report.case("413 comes before the body, and can be read while the body is being sent"):
        started = time.monotonic()
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(wire.request("POST", "/webhooks/reply", [*suite.auth, ("Content-Length", "50000000")], length=False))
            answer = connection.answer()
            equal(answer.status, 413, "status")
        check(time.monotonic() - started < 1, "it waited for the body")
    with suite.report.case("a refusal of a large body is read by curl"):
        answer = wire.curl(f"{suite.bridge.url}/webhooks/reply", data=b"a" * 3_000_000, headers=[*suite.auth_lines, "Expect:"])
        equal(answer.status, 413, "status")


def pipelining(suite):
    with suite.report.case("20 requests at once are answered in order, each with its record"):
        count, mark = suite.topics.count(), suite.topics.mark()
        requests = [suite.good_request() for _ in range(20)]
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(b"".join(data for _, data in requests))
            for _ in requests:
                equal(connection.answer().status, 200, "status")
        records = suite.topics.after(mark, 20)
        equal(suite.topics.count(), count + 20, "records")
        # One number, one partition, hence Kafka's order is the order of the requests.
        equal([r.json["reference"] for r in records], [reference for reference, _ in requests], "order")
    with suite.report.case("unlike requests at once: each its own answer"):
        count = suite.topics.count()
        (_, one), (_, two) = suite.good_request(), suite.good_request()
        get = wire.request("GET", "/healthz")
        miss = wire.request("GET", "/nothing", suite.auth)
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(one + get + miss + wire.request("OPTIONS", "*") + two)
            statuses = [connection.answer(m).status for m in ("POST", "GET", "GET", "OPTIONS", "POST")]
        equal([s for s in statuses if s != 204], [200, 200, 404, 200, 200] if 204 not in statuses else [200, 200, 404, 200], "statuses")
        equal(suite.topics.count(), count + 2, "records")
    with suite.report.case("what follows Connection: close is not served"):
        count = suite.topics.count()
        (_, one), (_, two) = suite.good_request([("Connection", "close")]), suite.good_request()
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(one + two)
            equal(connection.answer().status, 200, "status")
            check(connection.is_closed(3), f"more came: {connection.buffer[:100]!r}")
        time.sleep(0.1)
        equal(suite.topics.count(), count + 1, "records")
    with suite.report.case("a request in a body is a body"):
        count, mark = suite.topics.count(), suite.topics.mark()
        # Without its secret, which would be in the record then; taken for a request it would get an answer of its own.
        inner = wire.request("POST", "/webhooks/reply", body=b'{"sourcePhoneNumber":"27001888004","incomingData":"x"}')
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(wire.request("POST", "/webhooks/reply", suite.auth, inner))
            equal(connection.answer().status, 200, "status")
            check(connection.says_nothing(0.2), f"more came: {connection.buffer[:100]!r}")
        record = suite.topics.one(mark)
        equal(record.suffix, "quarantine", "topic")
        equal(suite.topics.count(), count + 1, "records")
    with suite.report.case("a request in the body of a GET is a body"):
        count = suite.topics.count()
        _, inner = suite.good_request()
        with wire.Connection(suite.bridge.url) as connection:
            connection.send(wire.request("GET", "/healthz", body=inner))
            equal(connection.answer("GET").status, 200, "status")
            check(connection.says_nothing(0.2) or connection.is_closed(1), f"more came: {connection.buffer[:100]!r}")
        equal(suite.topics.count(), count, "records")
    with suite.report.case("what follows a 404 or 405 with a body is read where the body ends"):
        for method, target in (("POST", "/nothing"), ("PUT", "/webhooks/reply")):
            count = suite.topics.count()
            (_, inner), (_, after) = suite.good_request(), suite.good_request()
            with wire.Connection(suite.bridge.url) as connection:
                connection.send(wire.request(method, target, suite.auth, inner) + after)
                first = connection.answer()
                check(first.status in (404, 405), f"status {first.status}")
                if (first.header("connection") or "").lower() == "close":
                    check(connection.is_closed(3), "not closed")
                else:
                    equal(connection.answer().status, 200, "status of the next")
                    count += 1
            time.sleep(0.1)
            equal(suite.topics.count(), count, f"records after {method} {target}")
    with suite.report.case("byte by byte"):
        _, data = suite.good_request()
        mark = suite.topics.mark()
        with wire.Connection(suite.bridge.url) as connection:
            for byte in data:
                connection.send(bytes([byte]))
            equal(connection.answer().status, 200, "status")
        suite.topics.one(mark)
    with suite.report.case("200 connections at once"):
        count = suite.topics.count()
        requests = [suite.good_request()[1] for _ in range(200)]

        def one(data):
            with wire.Connection(suite.bridge.url) as connection:
                connection.send(data)
                answer = connection.answer()
                return answer and answer.status

        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(one, requests))
        equal(set(statuses), {200}, "statuses")
        equal(suite.topics.count(), count + 200, "records")


def slow(suite):
    """Clients that never finish: the limits of 10 s end them, all at the same time."""
    _, data = suite.good_request()
    end = data.index(b"\r\n\r\n") + 4
    count = suite.topics.count()

    def half(part, drip):
        with wire.Connection(suite.bridge.url, timeout=30) as connection:
            started = time.monotonic()
            connection.send(part)
            while drip and time.monotonic() - started < 20 and connection.says_nothing(1):
                if not connection.send(b"X"):
                    break
            try:
                answer = connection.answer("POST", within=20)
            except TimeoutError:
                return "never", time.monotonic() - started
            connection.is_closed(5)
            return answer.status if answer else CLOSED, time.monotonic() - started

    parts = {"nothing sent": (b"", False), "half a request line": (data[:10], False), "half a head": (data[:end - 5], False),
             "no body": (data[:end], False), "half a body": (data[:-5], False),
             "a head, byte by byte": (data[:end - 2] + b"X: ", True),
             "a chunk, byte by byte": (data.split(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", True)}
    with ThreadPoolExecutor(len(parts)) as pool:
        results = dict(zip(parts, pool.map(lambda part: half(*part), parts.values())))
    for name, (status, seconds) in results.items():
        with suite.report.case(f"slow: {name}"):
            check(status in (408, CLOSED), f"{status} after {seconds:.1f} s")
            check(9 <= seconds < 16, f"ended after {seconds:.1f} s")
    with suite.report.case("slow: none of it was published"):
        equal(suite.topics.count(), count, "records")
        suite.lives()


def life(suite):
    """SIGTERM: red first, what is in flight is finished, then the end with 0."""
    if not suite.binary:
        return suite.report.skip("SIGTERM", "it needs --binary")
    from bridge import Bridge
    from records import Topics
    secret = secrets.token_hex(8)
    suite.forbidden.add(secret)
    with suite.report.case("SIGTERM: red, then no new connections, the request in flight is finished, exit 0"):
        bridge = Bridge.start(suite.binary, suite.bootstrap, f"{suite.prefix}-life", suite.folder, "life", {
            "SMSBRIDGE_AUTH_HEADER_SECRETS": secret, "SMSBRIDGE_SHUTDOWN_DELAY": "4s", "SMSBRIDGE_TOPICS_PARTITIONS": "1",
            "SMSBRIDGE_TOPICS_REPLICATION": "1"})
        suite.bridges.append(bridge)
        topics = Topics(suite.bootstrap, f"{suite.prefix}-life")
        topics.start()
        try:
            data = wire.request("POST", "/webhooks/delivery-status", [("X-Webhook-Secret", secret)],
                                b'{"id":1,"phoneNumber":"27001999001","status":"DELIVRD"}')
            equal(wire.curl(f"{bridge.url}/healthz").status, 200, "health before")
            with wire.Connection(bridge.url) as slow_one, wire.Connection(bridge.url) as idle:
                slow_one.send(data[:-10])
                idle.send(data)
                equal(idle.answer().status, 200, "status before")
                time.sleep(0.1)
                bridge.terminate()
                time.sleep(0.3)
                equal(wire.curl(f"{bridge.url}/healthz").status, 503, "public health while stopping")
                equal(wire.curl(f"{bridge.admin}/readyz").status, 503, "readiness while stopping")
                equal(wire.curl(f"{bridge.admin}/healthz").status, 200, "liveness while stopping")
                answer = wire.curl(f"{bridge.url}/webhooks/delivery-status", data=b'{"id":2,"phoneNumber":"27001999001","status":"DELIVRD"}',
                                   headers=[f"X-Webhook-Secret: {secret}"])
                equal(answer.status, 200, "a new request during the delay")
                # The delay ends in its own time; from then on nobody new gets in.
                deadline = time.monotonic() + 30
                while time.monotonic() < deadline:
                    try:
                        with wire.Connection(bridge.url):
                            pass
                    except ConnectionRefusedError:
                        break
                    time.sleep(0.1)
                check(time.monotonic() < deadline, "new connections were still taken 30 s after SIGTERM")
                slow_one.send(data[-10:])
                answer = slow_one.answer()
                check(answer is not None, "the request in flight got no answer")
                equal(answer.status, 200, "status of the request in flight")
                equal((answer.header("connection") or "").lower(), "close", "its Connection")
            code = bridge.process.wait(30)
            equal(code, 0, "exit status")
            equal(topics.count(), 3, "records")
            topics.settle()
        finally:
            topics.close()
    with suite.report.case("SIGTERM twice ends it, too"):
        bridge = Bridge.start(suite.binary, suite.bootstrap, f"{suite.prefix}-life", suite.folder, "life2", {
            "SMSBRIDGE_AUTH_HEADER_SECRETS": secret, "SMSBRIDGE_SHUTDOWN_DELAY": "0s"})
        suite.bridges.append(bridge)
        with wire.Connection(bridge.url) as open_one:
            open_one.send(b"POST /webhooks HTTP/1.1\r\n")
            time.sleep(0.1)
            bridge.terminate()
            time.sleep(0.2)
            if bridge.process.poll() is None:
                bridge.terminate()
            bridge.process.wait(30)
