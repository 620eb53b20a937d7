#!/usr/bin/env python3
"""Compares the request parser with h11 and with Node's llhttp.

Whatever our parser accepts, they must accept with the same method, target, version and body, ending at the same byte.
That we refuse more is the purpose. The streams compared are the cases of the parser's table and seeded damage to them.

Exit status: 0 agreed, 1 differed (each difference is printed), 2 could not compare.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

import h11

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TABLE = ROOT / "Tests" / "HTTPServerTests" / "Cases" / "requests.txt"

# Where the others may refuse what we accept, each with the rule. The function changes a request into one that they
# must accept all the same; framing is compared as ever.
EXCEPTIONS = {
    "empty-line": "RFC 9112 section 2.2: a server ignores an empty line before the request line; h11 refuses it",
    "unknown-method": "RFC 9110 section 9.1: any token is a method; llhttp knows a list, and compares with POST instead",
    "high-bytes-in-query": "bytes from 0x80 in a query, which clients send unescaped; h11 and llhttp refuse them, and get them "
                           "percent-encoded instead",
    "tab-in-framing": "RFC 9110 section 5.5: tabs around a value are no part of it; llhttp refuses them behind a length "
                      "or a transfer coding, and gets blanks instead",
}


def fail(reason):
    print(reason, file=sys.stderr)
    sys.exit(2)


def decode(text):
    """Undoes the escapes and repetitions of the table, whose head describes them."""
    out, index = bytearray(), 0
    while index < len(text):
        if text.startswith("{{", index):
            close = text.index("}}", index)
            unit, times = text[index + 2:close].rsplit("*", 1)
            out += decode(unit) * int(times)
            index = close + 2
        elif text[index] == "\\":
            kind = text[index + 1]
            if kind == "x":
                out.append(int(text[index + 2:index + 4], 16))
                index += 4
            else:
                out += {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}[kind]
                index += 2
        else:
            out += text[index].encode()
            index += 1
    return bytes(out)


def table():
    """The streams of the table; those that the parser serves wholly come second, too."""
    cases, served, current, ok = [], [], None, True
    for line in TABLE.read_text().split("\n") + ["[end]"]:
        if line.startswith("["):
            if current is not None:
                cases.append(bytes(current))
                if ok and current:
                    served.append(bytes(current))
            current, ok = bytearray(), True
        elif line.startswith("> "):
            current += decode(line[2:])
        elif line.startswith("! "):
            ok = False
    return cases, served


BYTES = [b"\r", b"\n", b"\r\n", b"\t", b" ", b":", b";", b",", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\x85", b"\xa0",
         b"\xff", b"0", b"1", b"a", b"%", b"?", b"#", b"/", b"*", b"\"", b"\\", b"=", b"+", b"-", b"_", b"."]
LINES = [b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length:3\r\n", b"content-length: 05\r\n",
         b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:chunked \r\n", b"Transfer-Encoding: gzip, chunked\r\n",
         b"Transfer-Encoding: x\r\n", b"Host: b\r\n", b"Host:\r\n", b"Host: [::1]:1\r\n", b"Connection: close\r\n",
         b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"Trailer: x\r\n", b"X: y\r\n",
         b"X:\t y \t\r\n", b"X: \xc3\xa9\r\n", b" folded\r\n", b"TE: trailers\r\n", b"Keep-Alive: 5\r\n",
         b"Content-Length : 5\r\n", b"X: \"a\r\n", b"Sec-WebSocket-Key: a\r\n", b"Proxy-Connection: close\r\n"]
CHUNKS = [b"0\r\n\r\n", b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n", b"00001\r\ny\r\n", b"A\r\n0123456789\r\n", b"0\r\nX: y\r\n\r\n",
          b"3;a=\"b\\\"\"\r\nabc\r\n", b"1;x;y=z\r\n.\r\n"]
STARTS = [b"GET /?text=caf\xc3\xa9&a=\xe9\xff HTTP/1.1\r\n", b"POST http://x.example?\x80 HTTP/1.0\r\n", b"GET /a?\xa0\xc2\x85b HTTP/1.1\r\n",
          b"GET / HTTP/1.1\r\n", b"POST /a?b=c HTTP/1.1\r\n", b"PUT http://x.example:8/ HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n",
          b"HEAD /%41 HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n", b"DELETE //x HTTP/1.1\r\n", b"PATCH /;p HTTP/1.1\r\n",
          b"GET https://[::1]?q HTTP/1.1\r\n", b"TRACE / HTTP/1.1\r\n", b"PROPFIND / HTTP/1.1\r\n", b"M-SEARCH * HTTP/1.1\r\n"]


def compose(rng):
    """A request put together from pieces, mostly a valid one."""
    out = bytearray(rng.choice(STARTS) + b"Host: a\r\n")
    for _ in range(rng.randrange(4)):
        out += rng.choice(LINES)
    kind = rng.randrange(3)
    if kind == 1:
        body = bytes(rng.choice(b"ab\r\n0 :;") for _ in range(rng.randrange(40)))
        out += b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif kind == 2:
        out += b"Transfer-Encoding: chunked\r\n\r\n"
        for _ in range(rng.randrange(4)):
            out += rng.choice(CHUNKS[1:])
        out += rng.choice([CHUNKS[0], CHUNKS[5]])
    else:
        out += b"\r\n"
    return bytes(out)


def damage(rng, data):
    """Changes a stream in one to four places."""
    data = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        if not data:
            break
        place, kind = rng.randrange(len(data) + 1), rng.randrange(9)
        if kind == 0 and place < len(data):
            data[place] = rng.choice(BYTES)[0]
        elif kind == 1:
            data[place:place] = rng.choice(BYTES)
        elif kind == 2:
            del data[place:place + rng.randrange(1, 4)]
        elif kind == 3 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 4:
            lines = bytes(data).split(b"\r\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(LINES)[:-2])
            data = bytearray(b"\r\n".join(lines))
        elif kind == 5:
            lines = bytes(data).split(b"\r\n")
            a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[a], lines[b] = lines[b], lines[a]
            data = bytearray(b"\r\n".join(lines))
        elif kind == 6:
            data[place:place] = rng.choice(CHUNKS)
        elif kind == 7 and place < len(data):
            data[place:place + 1] = bytes(data[place:place + 1]).swapcase()
        elif kind == 8:
            data[place:place] = data[place:place + rng.randrange(1, 30)]
    return bytes(data)


def corpus(rng, count, cases, served):
    small = [case for case in cases if len(case) < 3000]
    good = [case for case in served if len(case) < 3000]
    streams = []
    while len(streams) < count:
        kind = rng.randrange(4)
        base = compose(rng) if kind == 0 else rng.choice(good) if kind < 3 else rng.choice(small)
        stream = damage(rng, base)
        if rng.randrange(3) == 0:
            stream += damage(rng, compose(rng))
        streams.append(stream)
    return streams


def parse_ours(streams, folder, command):
    path = folder / "corpus"
    path.write_text("".join(stream.hex() + "\n" for stream in streams))
    output = folder / "corpus.parsed"
    output.unlink(missing_ok=True)
    environment = dict(os.environ, SMSBRIDGE_PARSER_CORPUS=str(path))
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0 or not output.exists():
        fail(f"{run.stdout[-4000:]}\nthe parser did not run")
    results = [json.loads(line) for line in output.read_text().splitlines()]
    if len(results) != len(streams):
        fail(f"{len(streams)} streams, {len(results)} results")
    return results


def parse_h11(data):
    """The first request of `data`, as h11 reads it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    request, body = None, bytearray()
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return {"error": f"incomplete: {event!r}"}
    except h11.RemoteProtocolError as error:
        return {"error": str(error)}
    return {"method": request.method, "target": request.target, "version": request.http_version.decode(),
            "body": bytes(body), "end": len(data) - len(connection.trailing_data[0])}


class Node:
    """llhttp, a batch at a time."""

    def __init__(self):
        self.program = shutil.which("node") or shutil.which("nodejs")
        self.version, self.methods = None, []
        if self.program:
            self.parse([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])

    def parse(self, requests):
        text = "".join(json.dumps({"bytes": request.hex()}) + "\n" for request in requests)
        run = subprocess.run([self.program, str(HERE / "llhttp.js")], input=text, stdout=subprocess.PIPE, text=True)
        if run.returncode != 0:
            fail("node did not run")
        head, *lines = run.stdout.splitlines()
        about = json.loads(head)
        self.version = f"{about['versions']['llhttp']} of node {about['versions']['node']}"
        self.methods = about["methods"]
        return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=10000, help="streams to compare (10000)")
    parser.add_argument("--seconds", type=float, help="go on for so long, in rounds of --cases")
    parser.add_argument("--seed", type=int, help="of the damage; printed, random otherwise")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / ".build" / "differential")
    parser.add_argument("command", nargs="*", help="what runs the parser's side",
                        default=["swift", "test", "--skip-build", "--filter", "ParserCorpusTests"])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    cases, served = table()
    node = Node()
    print(f"h11 {h11.__version__}; " + (f"llhttp {node.version}" if node.program else "NO NODE HERE: LLHTTP IS SKIPPED"))
    ended = time.monotonic() + (options.seconds or 0)
    totals = {"streams": 0, "requests": 0, "refused": 0, "differences": 0}
    used = {}
    while True:
        rng = random.Random(seed)
        streams = corpus(rng, options.cases, cases, served)
        if totals["streams"] == 0:
            streams = cases + streams
        run(streams, options, node, totals, used, seed)
        if time.monotonic() >= ended:
            break
        seed += 1
    print(f"{totals['streams']} streams: {totals['requests']} requests accepted by us, {totals['refused']} streams refused; "
          f"{totals['differences']} differences")
    for name, count in sorted(used.items()):
        print(f"  exception {name}: {count} ({EXCEPTIONS[name]})")
    # A comparison of almost nothing agrees too easily.
    if totals["requests"] < totals["streams"] // 10:
        fail("too few requests were accepted for the comparison to mean anything")
    sys.exit(1 if totals["differences"] else 0)


def escape_query(data, target):
    """The request with the bytes from 0x80 of its target percent-encoded, its target then, and how much longer it is."""
    escaped = re.sub(rb"[\x80-\xff]", lambda found: b"%%%02X" % found[0][0], target)
    # Only a query may have them: the path of what we accept is ASCII.
    if escaped.partition(b"?")[0] != target.partition(b"?")[0]:
        fail(f"a byte from 0x80 was accepted before the query: {target!r}")
    return data.replace(target, escaped, 1), escaped, len(escaped) - len(target)


def run(streams, options, node, totals, used, seed):
    pairs = []
    for stream, result in zip(streams, parse_ours(streams, options.folder, options.command)):
        totals["streams"] += 1
        totals["refused"] += result["ending"] != "more"
        start = 0
        for request in result["requests"]:
            pairs.append((stream[start:], stream[start:request["end"]], {
                "method": bytes.fromhex(request["method"]), "target": bytes.fromhex(request["target"]),
                "version": request["version"], "body": bytes.fromhex(request["body"]),
                "end": request["end"] - start}))
            start = request["end"]
    totals["requests"] += len(pairs)

    def differ(who, data, ours, theirs):
        totals["differences"] += 1
        print(f"DIFFERENCE with {who} (seed {seed})\n  bytes  {data!r}\n  ours   {ours}\n  theirs {theirs}")

    def note(name):
        used[name] = used.get(name, 0) + 1

    for rest, data, ours in pairs:
        expected = dict(ours)
        if data.startswith(b"\r\n"):
            note("empty-line")
            rest = rest[2:]
            expected["end"] -= 2
        if any(byte >= 0x80 for byte in ours["target"]):
            note("high-bytes-in-query")
            rest, expected["target"], more = escape_query(rest, ours["target"])
            expected["end"] += more
        theirs = parse_h11(rest)
        if theirs != expected:
            differ("h11", data, expected, theirs)

    if not node.program:
        return
    requests = []
    for _, data, ours in pairs:
        method = ours["method"].decode()
        if method not in node.methods:
            note("unknown-method")
            data = re.sub(rb"\A((?:\r\n)?)" + re.escape(ours["method"]), rb"\1POST", data)
            ours["method"] = b"POST"
        if any(byte >= 0x80 for byte in ours["target"]):
            data, ours["target"], _ = escape_query(data, ours["target"])
        # Headers only: a body is not touched.
        head, end, body = data.partition(b"\r\n\r\n")
        plain = re.sub(rb"(?mi)^(?:Content-Length|Transfer-Encoding):[^\r\n]*",
                       lambda found: found[0].replace(b"\t", b" "), head)
        if plain != head:
            note("tab-in-framing")
            data = plain + end + body
        requests.append(data)
    for data, (_, _, ours), theirs in zip(requests, pairs, node.parse(requests)):
        expected = {"version": ours["version"], "method": ours["method"].decode(), "url": ours["target"].hex(),
                    "body": ours["body"].hex(), "early": False, "complete": True}
        if theirs != expected:
            differ("llhttp", data, ours, theirs)


if __name__ == "__main__":
    main()
