"""What is looked at from outside."""

import hashlib
import os
import random
import re
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import time
import xml.etree.ElementTree

from bridge import SECRET, SETTINGS, Bridge, wait
from load import Load
from report import check, equal

CIPHERS = {
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    *(f"ECDHE-{kind}-{cipher}" for kind in ("ECDSA", "RSA")
      for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")),
}


def compression(port):
    """The method that the server chooses of a client of TLS 1.2 that offers DEFLATE and none, in this order."""
    def vector(size, content):
        return len(content).to_bytes(size, "big") + content

    extensions = b"".join(
        struct.pack(">H", kind) + vector(2, content) for kind, content in (
            (10, vector(2, b"\0\x1d\0\x17")), (11, vector(1, b"\0")), (13, vector(2, b"\4\3\x08\4\4\1"))))
    body = b"\3\3" + bytes(32) + vector(1, b"") + vector(2, b"\xc0\x2b\xc0\x2f") + vector(1, b"\1\0") + vector(2, extensions)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"\x16\3\1" + vector(2, b"\1" + vector(3, body)))
        answer = b""
        while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[3:5], "big"):
            more = client.recv(4096)
            check(more, f"no answer to the hello: {answer!r}")
            answer += more
    check(answer[0] == 0x16 and answer[5] == 2, f"no ServerHello: {answer[:16]!r}")
    session = answer[5 + 4 + 2 + 32]
    return answer[5 + 4 + 2 + 32 + 1 + session + 2]


def scan(report, binary, folder, authority):
    """Protocols, ciphers and known weaknesses, as sslscan sees them."""
    for kind in ("ec", "2048"):
        bridge = Bridge(binary, folder, f"scan-{kind}", authority, authority.issue(f"scan-{kind}", kind))
        try:
            text = subprocess.run(["sslscan", "--no-colour", "--xml=-", f"127.0.0.1:{bridge.port}"], check=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=300).stdout
            found = xml.etree.ElementTree.fromstring(text).find("ssltest")
            with report.case(f"{kind}: TLS 1.2 and 1.3, and nothing older"):
                versions = {f"{row.get('type')}v{row.get('version')}": row.get("enabled") for row in found.findall("protocol")}
                equal(versions, {"sslv2": "0", "sslv3": "0", "tlsv1.0": "0", "tlsv1.1": "0", "tlsv1.2": "1", "tlsv1.3": "1"},
                      "enabled protocols")
            with report.case(f"{kind}: ciphers with forward secrecy and authentication only"):
                names = {row.get("cipher") for row in found.findall("cipher")}
                check(len(names) >= 6 and names <= CIPHERS, f"ciphers {sorted(names)}")
            with report.case(f"{kind}: no compression"):
                # Where sslscan's own OpenSSL cannot compress it says nothing of it.
                check({row.get("supported") for row in found.findall("compression")} <= {"0"}, "sslscan finds compression")
                equal(compression(bridge.port), 0, "compression that is chosen when DEFLATE is offered first")
            with report.case(f"{kind}: not open to Heartbleed"):
                rows = [row.get("vulnerable") for row in found.findall("heartbleed")]
                check(rows and set(rows) == {"0"}, f"heartbleed {rows}")
            with report.case(f"{kind}: no renegotiation"):
                equal([row.get("supported") for row in found.findall("renegotiation")], ["0"], "renegotiation")
            with report.case(f"{kind}: the keys that are exchanged are of 128 bits of security at least"):
                groups = {row.get("name") for row in found.findall("group")}
                check(groups and groups <= {"x25519", "secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)"}, f"groups {groups}")
            with report.case(f"{kind}: a client that asks for renegotiation is refused"):
                asked = subprocess.run(
                    ["openssl", "s_client", "-connect", f"127.0.0.1:{bridge.port}", "-tls1_2", "-alpn", "http/1.1"],
                    input=b"R\n", capture_output=True, timeout=60)
                said = (asked.stdout + asked.stderr).decode("utf-8", "replace")
                check("no renegotiation" in said or "handshake failure" in said, f"s_client says {said[-600:]}")
            with report.case(f"{kind}: a client of HTTP/2 alone is told that there is none"):
                context = ssl.create_default_context(cafile=authority.certificate)
                context.set_alpn_protocols(["h2"])
                try:
                    with context.wrap_socket(socket.create_connection(("127.0.0.1", bridge.port)), server_hostname="localhost"):
                        check(False, "it was let in")
                except ssl.SSLError as error:
                    check("no application protocol" in str(error).lower().replace("_", " "), str(error))
            with report.case(f"{kind}: plain HTTP is answered 400 in plain HTTP"):
                with socket.create_connection(("127.0.0.1", bridge.port)) as plain:
                    plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                    answer = b"".join(iter(lambda: plain.recv(4096), b""))
                check(answer.startswith(b"HTTP/1.1 400 ") and b"https" in answer, f"answered {answer!r}")
            with report.case(f"{kind}: each is counted by its reason"):
                time.sleep(1.5)
                metrics = bridge.metrics()
                for result in ("done", "plaintext", "application-protocol", "version"):
                    check(metrics[f'smsbridge_tls_handshakes_total{{result="{result}"}}'] > 0, f"{result} is not counted")
        finally:
            equal(bridge.end(), 0, "exit code")


def fingerprint(path):
    pem = path.read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT"):])).hexdigest()


def served(bridge):
    """The certificate that a new connection is shown."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", bridge.port)))).hexdigest()


def replace(report, binary, folder, authority, rounds):
    """Certificates are replaced under load in each way that people do it, and no request fails."""
    live = folder / "live"
    live.mkdir()
    files = (live / "tls.crt", live / "tls.key")
    issued = [authority.issue(f"turn-{number}", "ec" if number % 2 else "2048") for number in range(4)]
    for source, target in zip(issued[0], files):
        shutil.copy(source, target)

    def renamed(pair):
        for source, target in zip(pair, files):
            shutil.copy(source, f"{target}.new")
            os.replace(f"{target}.new", target)

    def written(pair):
        """In place, in halves, the key seconds after the certificate."""
        for source, target in zip(pair, files):
            content = source.read_bytes()
            with open(target, "wb") as file:
                file.write(content[:200])
                file.flush()
                time.sleep(0.3)
                file.write(content[200:])
            time.sleep(0.3)

    def linked(pair):
        """As Kubernetes does it: the files are links into a folder, which is exchanged as a whole."""
        version = folder / f"version-{random.getrandbits(40)}"
        version.mkdir()
        for source, target in zip(pair, files):
            shutil.copy(source, version / target.name)
        os.symlink(version, folder / "data.new")
        os.replace(folder / "data.new", folder / "data")
        for target in files:
            if not target.is_symlink():
                os.symlink(folder / "data" / target.name, f"{target}.new")
                os.replace(f"{target}.new", target)

    bridge = Bridge(binary, folder, "replace", authority, files)
    try:
        with Load(bridge) as load:
            ways = [renamed, written, linked] * rounds
            for number, way in enumerate(ways, 1):
                pair = issued[number % len(issued)]
                with report.case(f"replaced under load, {way.__name__}, {number} of {len(ways)}: new connections see the new one"):
                    way(pair)
                    check(wait(lambda: served(bridge) == fingerprint(pair[0])), "it is not served after 30 s")
                    time.sleep(0.5)
            before = served(bridge)
            with report.case("wrong files: the old certificate is served, with an alert and a metric"):
                good = files[0].read_bytes()
                os.replace(shutil.copy(issued[0][1], folder / "wrong"), files[1])
                check(wait(lambda: "SmsbridgeCertificateReloadFailed" in bridge.alerts()), "no alert")
                check("http.tls.key" in bridge.alerts()["SmsbridgeCertificateReloadFailed"], f"the alert says {bridge.alerts()}")
                equal(served(bridge), before, "certificate")
                failed = bridge.metrics()['smsbridge_certificate_reloads_total{use="http",result="failed"}']
                check(failed >= 1, "no metric")
                equal(bridge.metrics()['smsbridge_certificate_reload_failed{use="http"}'], 1, "smsbridge_certificate_reload_failed")
                time.sleep(3)
                equal(bridge.metrics()['smsbridge_certificate_reloads_total{use="http",result="failed"}'], failed, "it is said once")
                check(good == files[0].read_bytes(), "the test has changed the wrong file")
            with report.case("right files again: taken, and the alert is gone"):
                renamed(issued[3])
                check(wait(lambda: served(bridge) == fingerprint(issued[3][0])), "it is not served after 30 s")
                check(wait(lambda: "SmsbridgeCertificateReloadFailed" not in bridge.alerts()), "the alert stays")
                equal(bridge.metrics()['smsbridge_certificate_reload_failed{use="http"}'], 0, "smsbridge_certificate_reload_failed")
            with report.case("files that are gone: the old certificate is served"):
                os.remove(files[0])
                check(wait(lambda: "SmsbridgeCertificateReloadFailed" in bridge.alerts()), "no alert")
                check("No such file" in bridge.alerts()["SmsbridgeCertificateReloadFailed"], f"the alert says {bridge.alerts()}")
                equal(served(bridge), fingerprint(issued[3][0]), "certificate")
        with report.case("no request has failed, and no connection that was kept was closed"):
            equal(load.failures[:5], [], "failures")
            equal(load.connections["keeping"], 4, "connections of those who keep them")
            check(min(load.answered.values()) > 30, f"too little load: {load.answered}")
            check(len(load.certificates) >= 4, f"only {len(load.certificates)} certificates were seen")
        print(f"replaced {len(ways) + 1} times under {sum(load.answered.values())} requests "
              f"({load.connections['fresh']} fresh connections): {len(load.failures)} failures")
        with report.case("the metric says when the certificate expires"):
            text = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", str(issued[3][0])], check=True,
                                  capture_output=True, text=True).stdout
            expected = ssl.cert_time_to_seconds(text.strip().split("=", 1)[1])
            equal(bridge.metrics()['smsbridge_certificate_expiry_seconds{setting="http.tls.certificate"}'], expected, "expiry")
        with report.case("no descriptor is left while the renewed certificate is read: it is served as soon as there is one"):
            renamed(issued[1])
            check(wait(lambda: served(bridge) == fingerprint(issued[1][0])), "it is not served after 30 s")
            limits = resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE)
            # The limit is on the number that a new descriptor gets: below 3 none is ever free.
            resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
            renamed(issued[2])
            check(wait(lambda: any("Too many open files" in line.get("reason", "") for line in bridge.lines())), "it was read all the same")
            time.sleep(3)
            resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE, limits)
            check(wait(lambda: served(bridge) == fingerprint(issued[2][0])), "it is not served after 30 s")
            check(wait(lambda: "SmsbridgeCertificateReloadFailed" not in bridge.alerts()), "the alert stays")
    finally:
        equal(bridge.end(), 0, "exit code")


def hello():
    """The first bytes of a client."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def flood(report, binary, folder, authority, seconds, crowd, rate=300):
    """Thousands of half-open handshakes and garbage: memory and descriptors stay within bounds, good clients are served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    crowd = min(crowd, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    most = 500
    first = hello()
    random.seed(9)
    kinds = {
        "silence": b"", "a record's head": first[:5], "half a hello": first[: len(first) // 2], "a whole hello": first,
        "garbage": random.randbytes(700), "a hello of 16 KiB that does not end": b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + bytes(9000),
    }
    bridge = Bridge(binary, folder, "flood", authority, authority.issue("flood", "2048"),
                    SMSBRIDGE_HTTP_TLS_MAX_HANDSHAKES=str(most), SMSBRIDGE_HTTP_MAX_CONNECTIONS="20000")
    try:
        with Load(bridge, pause=0.02):
            time.sleep(3)
        time.sleep(3)
        memory, descriptors = bridge.memory(), bridge.descriptors()
        peaks = []
        for turn in ("first", "second"):
            held, sent, highest = [], 0, {"memory": 0, "descriptors": 0, "handshakes": 0}
            with Load(bridge, pause=0.02) as load:
                began = time.monotonic()
                while time.monotonic() < began + seconds:
                    # Paced, so that a good client has a second or two for its handshake, and not the machine's speed decides.
                    if sent > (time.monotonic() - began) * rate:
                        time.sleep(0.02)
                        continue
                    for name, content in kinds.items():
                        for _ in range(5):
                            client = socket.socket()
                            client.settimeout(5)
                            try:
                                client.connect(("127.0.0.1", bridge.port))
                                client.sendall(content)
                            except OSError:
                                client.close()
                                continue
                            held.append(client)
                            sent += 1
                    while len(held) > crowd:
                        held.pop(0).close()
                    highest["memory"] = max(highest["memory"], bridge.memory())
                    highest["descriptors"] = max(highest["descriptors"], bridge.descriptors())
                    highest["handshakes"] = max(
                        highest["handshakes"], bridge.metrics()["smsbridge_tls_handshakes_in_progress"])
            grown = highest["memory"] - memory
            print(f"{turn} flood of {sent} connections in {seconds} s: memory {memory} → {highest['memory']} KiB, descriptors {descriptors} → "
                  f"{highest['descriptors']}, at most {highest['handshakes']:.0f} handshakes; good clients: {load.answered}, "
                  f"{len(load.failures)} failed, "
                  f"p50 {load.percentile(0.5):.1f} ms, p99 {load.percentile(0.99):.1f} ms")
            with report.case(f"{turn} flood: good clients are served all through it"):
                equal([text for text in load.failures if text.startswith("keeping")][:5], [], "failures on open connections")
                failed = len(load.failures)
                check(failed * 20 <= load.answered["fresh"], f"{failed} new connections failed: {load.failures[:3]}, {load.answered}")
                check(min(load.answered.values()) > 20, f"too few answers: {load.answered}")
            with report.case(f"{turn} flood: handshakes in progress stay within http.tls.maxHandshakes"):
                check(most // 2 < highest["handshakes"] <= most, f"{highest['handshakes']} of {most}")
                check(sent > 4 * most, f"only {sent} connections")
            with report.case(f"{turn} flood: memory stays within 100 KiB a handshake"):
                check(grown < most * 100, f"{memory} → {highest['memory']} KiB")
            with report.case(f"{turn} flood: those that are ended are counted"):
                time.sleep(1.5)
                equal(bridge.metrics()['smsbridge_tls_handshakes_total{result="overload"}'] > 0, True, "overload is counted")
            for client in held:
                client.close()
            held.clear()
            peaks.append(highest["memory"])
            time.sleep(1)
        with report.case("a second flood takes no more memory than the first"):
            check(peaks[1] < peaks[0] * 1.25, f"{memory} → {peaks[0]} → {peaks[1]} KiB")
        with report.case("when it is over nothing of it is left"):
            check(wait(lambda: bridge.descriptors() <= descriptors + 4, 20), f"descriptors {descriptors} → {bridge.descriptors()}")
            check(wait(lambda: bridge.metrics()["smsbridge_tls_handshakes_in_progress"] == 0, 20), "handshakes are left")
            with Load(bridge, pause=0.02) as load:
                time.sleep(2)
            equal(load.failures[:5], [], "failures")
        print(f"afterwards: memory {bridge.memory()} KiB, descriptors {bridge.descriptors()}")
    finally:
        equal(bridge.end(), 0, "exit code")


def proxies(report, binary, folder, authority):
    """A balancer that passes TCP through says whom it speaks for, before TLS."""
    version2 = bytes.fromhex("0d0a0d0a000d0a515549540a") + b"\x21\x11" + struct.pack(">H4s4sHH", 12, b"\xc0\0\2\1", b"\xc0\0\2\2", 5, 6)
    headers = {"version 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", "version 2": version2, "none": b"", "wrong": b"PROXY TCP9 x\r\n"}
    bridge = Bridge(binary, folder, "proxy", authority, authority.issue("proxy"),
                    SMSBRIDGE_HTTP_PROXY_PROTOCOL="true", SMSBRIDGE_HTTP_TRUSTED_PROXIES="127.0.0.0/8")
    try:
        for name, header in headers.items():
            with report.case(f"PROXY protocol, {name}"):
                raw = socket.create_connection(("127.0.0.1", bridge.port), timeout=20)
                raw.sendall(header)
                try:
                    with bridge.context.wrap_socket(raw, server_hostname="localhost") as client:
                        client.sendall(b"GET /webhooks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        answer = client.recv(4096)
                except OSError:
                    answer = b""
                equal(answer[:12], b"HTTP/1.1 401" if "version" in name else b"", "answer")
        with report.case("PROXY protocol: what is refused is counted"):
            time.sleep(1.5)
            equal(bridge.metrics()['smsbridge_http_proxy_headers_rejected_total{reason="malformed"}'], 2, "malformed")
    finally:
        equal(bridge.end(), 0, "exit code")


def wrong(report, binary, folder, authority):
    """What is wrong with the files is said at once, with setting and path, and ends the start."""
    certificate, key = authority.issue("right")
    other = authority.issue("other")[1]
    locked = folder / "encrypted.key"
    subprocess.run(["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(locked)], check=True)
    empty, unreadable = folder / "empty.pem", folder / "nowhere.pem"
    empty.write_text("nothing\n")
    cases = {
        "a key of another certificate": (certificate, other, f"http.tls.key: {other}: the key is not that of the certificate"),
        "no certificate in the file": (empty, key, f"http.tls.certificate: {empty}: there is no certificate in it"),
        "no key in the file": (certificate, empty, f"http.tls.key: {empty}: there is no private key in it"),
        "an encrypted key": (certificate, locked, f"http.tls.key: {locked}: the key is encrypted"),
        "a file that is not there": (certificate, unreadable, f"http.tls.key: cannot read {unreadable}: No such file"),
        "a folder": (folder, key, f"http.tls.certificate: cannot read {folder}: it is a directory, not a file"),
    }
    for name, (first, second, says) in cases.items():
        with report.case(f"wrong files: {name}"):
            environment = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
            ended = subprocess.run(
                [binary, "serve", "--auth-none", "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-none",
                 "--http-tls-certificate", str(first), "--http-tls-key", str(second)],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
            equal(ended.returncode, 2, "exit code")
            check(f"smsbridge serve: {says}" in ended.stderr, f"it says {ended.stderr!r}")
    for name, days, says in (("expires soon", 5, "certificate expires soon"), ("has expired", -1, "certificate expired")):
        with report.case(f"a certificate that {name} is said at the start"):
            if days < 0:
                shown = folder / "expired.pem"
                subprocess.run(
                    ["openssl", "x509", "-in", str(certificate), "-signkey", str(key), "-days", "-1", "-out", str(shown)],
                    check=True, stderr=subprocess.DEVNULL)
            else:
                shown = certificate
            bridge = Bridge(binary, folder, f"said-{abs(days)}-{days < 0}", authority, (shown, key))
            bridge.end()
            check(any(line.get("message", "").startswith(says) for line in bridge.lines()), f"log: {bridge.lines()}")


def answers(bridge):
    return sum(value for name, value in bridge.metrics().items() if name.startswith("smsbridge_http_responses_total"))


def cost(binary, folder, authority, bootstrap, seconds, rounds):
    """Processor time a request with TLS and without, in turns; prints a table, and judges nothing."""
    script = folder / "post.lua"
    script.write_text(f"""
wrk.method = "POST"
wrk.path = "/webhooks/delivery-status"
wrk.headers["X-Webhook-Secret"] = "{SECRET}"
local count = 0
request = function()
  count = count + 1
  return wrk.format(nil, nil, nil, '{{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"271' ..
    string.format("%08d", count % 10000) .. '","Received":1530013907,"UserReference":"r' .. count .. '"}}')
end
""")
    subjects = {"plain": None, "TLS, P-256": authority.issue("cost-ec"), "TLS, RSA 2048": authority.issue("cost-rsa", "2048")}
    figures = {name: [] for name in subjects}
    for turn in range(rounds):
        for number, (name, files) in enumerate(subjects.items()):
            bridge = Bridge(binary, folder, f"cost-{turn}-{number}", authority, files, bootstrap,
                            SMSBRIDGE_TOPICS_REPLICATION="1")
            try:
                url = f"{'https' if files else 'http'}://127.0.0.1:{bridge.port}/"
                kept = []
                for load in ([f"{url}webhooks"], ["-s", script, url]):
                    # Its 64 handshakes are over when the first look is taken.
                    with subprocess.Popen(["wrk", "-t1", "-c64", f"-d{seconds + 4}", *load], stdout=subprocess.PIPE,
                                          text=True) as wrk:
                        time.sleep(2)
                        began, used, requests = time.monotonic(), bridge.seconds(), answers(bridge)
                        time.sleep(seconds)
                        took, used = time.monotonic() - began, bridge.seconds() - used
                        requests = answers(bridge) - requests
                        said = wrk.stdout.read()
                    kept += [used / requests * 1e6, requests / took]
                check("Non-2xx" not in said, "not every callback was answered 200")
                memory = bridge.memory()
                before = bridge.seconds()
                output = subprocess.run(["wrk", "-t1", "-c16", "-d3", "-H", "Connection: close", f"{url}webhooks"], check=True,
                                        capture_output=True, text=True).stdout
                fresh = (bridge.seconds() - before) / int(re.search(r"(\d+) requests in", output)[1])
                figures[name].append((*kept, fresh * 1e6, memory))
            finally:
                bridge.end()
    middle = {name: [sorted(row[part] for row in rows)[len(rows) // 2] for part in range(6)] for name, rows in figures.items()}
    base = middle["plain"]
    print("| CPU a request | 401, connection kept | ÷ plain | 200, connection kept | ÷ plain | 401, connection of its own | resident |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, (refused, _, taken, _, fresh, memory) in middle.items():
        print(f"| {name} | {refused:.1f} µs | {refused / base[0]:.2f} | {taken:.1f} µs | {taken / base[2]:.2f} | {fresh:.0f} µs | "
              f"{memory / 1024:.1f} MB |")
    for name, (_, refused, _, taken, _, _) in middle.items():
        print(f"{name}: {refused:.0f} and {taken:.0f} requests a second")
