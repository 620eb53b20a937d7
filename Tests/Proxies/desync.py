"""Requests that a proxy and the bridge could read differently. Each carries, where only one of the two would see it, a second request
with a valid secret and no X-Forwarded-For: if the bridge ever takes it for a request, its address is the proxy's, which is not allowed, and
the bridge counts that."""


def table(secret, host):
    """(name, bytes): what a client sends on one connection."""
    body = b'{"Status":"DELIVRD","EventId":1,"Msisdn":"27001999001","Received":1735711200,"UserReference":"smuggled"}'
    hidden = (b"POST /webhooks/delivery-status HTTP/1.1\r\nHost: " + host.encode() + b"\r\nX-Webhook-Secret: " + secret.encode()
              + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    size = len(hidden)

    def request(*lines, method=b"POST", target=b"/webhooks/delivery-status", version=b"HTTP/1.1", rest=b"", end=b"\r\n"):
        head = end.join([method + b" " + target + b" " + version, b"Host: " + host.encode(), b"X-Webhook-Secret: " + secret.encode(), *lines])
        return head + end + end + rest

    chunk = b"%x\r\n" % size + hidden + b"\r\n0\r\n\r\n"
    length = b"Content-Length: %d" % size
    closing = b"0\r\n\r\n" + hidden
    te = b"Transfer-Encoding: chunked"

    # A length and chunks: who heeds which?
    yield "length 0 and chunks", request(b"Content-Length: 0", te, rest=closing)
    yield "chunks and length 0", request(te, b"Content-Length: 0", rest=closing)
    yield "a length over the last chunk", request(b"Content-Length: %d" % (5 + size), te, rest=closing)
    yield "a length within the chunks", request(b"Content-Length: 4", te, rest=chunk)
    # Chunks that only one of the two sees as such.
    for name, line in {
        "xchunked": b"Transfer-Encoding: xchunked", "chunked, identity": b"Transfer-Encoding: chunked, identity",
        "identity, chunked": b"Transfer-Encoding: identity, chunked", "chunked twice": b"Transfer-Encoding: chunked, chunked",
        "gzip, chunked": b"Transfer-Encoding: gzip, chunked", "a tab before": b"Transfer-Encoding:\tchunked",
        "a blank before the colon": b"Transfer-Encoding : chunked", "a vertical tab": b"Transfer-Encoding: \x0bchunked",
        "a form feed behind": b"Transfer-Encoding: chunked\x0c", "a NUL behind": b"Transfer-Encoding: chunked\x00",
        "in quotes": b'Transfer-Encoding: "chunked"', "a semicolon": b"Transfer-Encoding: chunked;x=y",
        "a comma before": b"Transfer-Encoding: ,chunked", "a comma behind": b"Transfer-Encoding: chunked,", "folded": b"Transfer-Encoding:\r\n chunked",
        "a line feed within": b"X: y\nTransfer-Encoding: chunked", "a carriage return within": b"X: y\rTransfer-Encoding: chunked",
        "an underscore": b"Transfer_Encoding: chunked", "in capitals": b"TRANSFER-ENCODING: CHUNKED", "a high byte": b"Transfer-Encoding: chunked\xa0",
    }.items():
        yield f"transfer coding, {name}", request(line, rest=closing)
        yield f"transfer coding, {name}, and a length", request(line, length, rest=hidden)
        yield f"transfer coding, {name}, twice", request(te, line, rest=closing)
    # Two lengths, and lengths that are read in several ways.
    for name, lines in {
        "twice, 0 first": (b"Content-Length: 0", length), "twice, 0 last": (length, b"Content-Length: 0"), "twice the same": (length, length),
        "a list": (b"Content-Length: 0, %d" % size,), "a list of the same": (b"Content-Length: %d, %d" % (size, size),),
        "a plus": (b"Content-Length: +%d" % size,), "a minus": (b"Content-Length: -%d" % size,), "zeros before": (b"Content-Length: 000%d" % size,),
        "hexadecimal": (b"Content-Length: 0x%x" % size,), "a blank within": (b"Content-Length: %d %d" % (size // 10, size % 10),),
        "a fraction": (b"Content-Length: %d.0" % size,), "empty": (b"Content-Length:",), "a blank before the colon": (b"Content-Length : %d" % size,),
        "folded": (b"Content-Length:\r\n %d" % size,), "an underscore": (b"Content_Length: %d" % size,), "a NUL behind": (length + b"\x00",),
        "a tab behind": (length + b"\t",), "too large": (b"Content-Length: 18446744073709551616",), "wrapping round": (b"Content-Length: %d" % (2**64 + size),),
    }.items():
        yield f"length, {name}", request(*lines, rest=hidden)
    # Chunks themselves.
    for name, data in {
        "a size of many zeros": b"0" * 40 + b"%x\r\n" % size + hidden + b"\r\n0\r\n\r\n", "a size too large": b"10000000000000000\r\n" + hidden,
        "a size with a blank": b"%x \r\n" % size + hidden + b"\r\n0\r\n\r\n", "a size with 0x": b"0x%x\r\n" % size + hidden + b"\r\n0\r\n\r\n",
        "a size with a minus": b"-1\r\n" + hidden, "a bare line feed": b"%x\n" % size + hidden + b"\n0\n\n",
        "an extension with a line feed": b"1;a\nb\r\nx\r\n0\r\n\r\n" + hidden, "an extension with a carriage return": b"1;a\rb\r\nx\r\n0\r\n\r\n" + hidden,
        "no line end behind the data": b"1\r\nx0\r\n\r\n" + hidden, "too little data": b"5\r\nx\r\n0\r\n\r\n" + hidden,
        "a trailer with a length": b"0\r\nContent-Length: 5\r\n\r\n" + hidden, "a trailer with a host": b"0\r\nHost: b\r\n\r\n" + hidden,
        "a trailer without a colon": b"0\r\nPOST /webhooks/reply HTTP/1.1\r\n\r\n" + hidden, "a trailer that is folded": b"0\r\nX: y\r\n z\r\n\r\n" + hidden,
        "no last chunk": b"1\r\nx\r\n" + hidden, "the last chunk without its empty line": b"0\r\n" + hidden,
    }.items():
        yield f"chunks, {name}", request(te, rest=data)
    # Where the head ends.
    yield "lines of line feeds", request(length, rest=hidden, end=b"\n")
    yield "an empty line of a line feed", request(length).replace(b"\r\n\r\n", b"\n\n", 1) + hidden
    yield "an empty line of a carriage return", request(length).replace(b"\r\n\r\n", b"\r\n\r", 1) + hidden
    yield "a blank line", request(b" ", length, rest=hidden)
    yield "a line without a colon", request(b"nonsense", length, rest=hidden)
    yield "a line that begins with a colon", request(b": x", length, rest=hidden)
    # Requests whose body is forgotten.
    for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE", b"PUT", b"FOO"):
        yield f"{method.decode()} with a body", request(length, method=method, rest=hidden)
        yield f"{method.decode()} with chunks", request(te, method=method, rest=chunk)
        yield f"{method.decode()} without a length", request(method=method, rest=hidden)
    for version in (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/01.1"):
        yield f"{version.decode()} with a length", request(length, version=version, rest=hidden)
        yield f"{version.decode()} with chunks", request(te, version=version, rest=closing)
    yield "an expectation", request(b"Expect: 100-continue", length, rest=hidden)
    yield "another expectation", request(b"Expect: tea", length, rest=hidden)
    yield "an upgrade", request(b"Connection: Upgrade", b"Upgrade: websocket", rest=hidden)
    yield "an upgrade to HTTP/2", request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAAA", rest=hidden)
    for name in (b"Content-Length", b"Transfer-Encoding", b"Host", b"X-Forwarded-For", b"X-Webhook-Secret"):
        yield f"a connection option {name.decode()}", request(b"Connection: close, " + name, length, rest=hidden)
    # Targets.
    for target in (b"http://other.example/webhooks/delivery-status", b"//webhooks/delivery-status", b"/webhooks/delivery-status#x",
                   b"/webhooks/delivery-status?a=%0d%0aX:y", b"/webhooks/delivery-status%20HTTP/1.1%0d%0aX:%20y", b"/webhooks/../webhooks/delivery-status",
                   b"/webhooks%2fdelivery-status", b"/webhooks\\delivery-status", b"/webhooks/delivery-status?caf\xe9", b"/caf\xe9",
                   b"/webhooks/delivery-status\x00", b"/webhooks/delivery-status\ta", b"*", b"webhooks", b"/webhooks/delivery-status;x"):
        yield f"the target {target!r}", request(length, target=target, rest=hidden)

