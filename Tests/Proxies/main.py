"""The bridge behind real proxies. Each failed check is one line; the last line counts."""

import argparse
import contextlib
import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(os.path.dirname(HERE), "Contract")]

import desync  # noqa: E402
import proxies  # noqa: E402
from bridge import Bridge  # noqa: E402
from delay import Delay  # noqa: E402
from records import Topics  # noqa: E402
from report import Report, check, equal  # noqa: E402

SECRET = "behind-a-proxy-" + secrets.token_hex(8)
# The caller that is allowed, and one that is not: addresses of the loopback network, for clients of this machine.
CALLER, STRANGER = "127.0.0.9", "127.0.0.10"
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE
DELAY = 0.015


def body(reference):
    return json.dumps({"Status": "DELIVRD", "EventId": 1179504595, "Mcc": 655, "Mnc": "01", "MsgCount": 1, "Msisdn": "27123456789",
                       "Received": 1530013907, "UserReference": reference}).encode()


def connect(proxy, source=CALLER, timeout=15):
    """A client's connection to a proxy, not opened yet."""
    kind, more = (http.client.HTTPSConnection, {"context": CONTEXT}) if proxy.tls else (http.client.HTTPConnection, {})
    return kind("127.0.0.1", proxy.port, timeout=timeout, source_address=(source, 0), **more)


def ask(proxy, method, target, data=None, headers=None, source=CALLER):
    """One request on a connection of its own; status, headers and body."""
    connection = connect(proxy, source)
    try:
        connection.request(method, target, data, {"X-Webhook-Secret": SECRET, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def open_socket(proxy, timeout=5):
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout, source_address=(CALLER, 0))
    return CONTEXT.wrap_socket(plain, server_hostname="sms.example.com") if proxy.tls else plain


class Stand:
    def __init__(self, report, options, folder, binary):
        self.report, self.options, self.folder, self.binary = report, options, folder, binary
        self.prefix = "proxies-" + secrets.token_hex(4)
        self.bridges, self.environment, self.proxies = [], [], []
        self.delay = self.topics = None
        self.certificate = proxies.certificate(folder)

    def start(self, extra=None):
        trusted = ["127.0.0.1"] + ([self.delay.far] if self.delay else [])
        for index, name in enumerate("ab"):
            # Both listen on every address: the delayed network is one.
            environment = {
                "SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET, "SMSBRIDGE_AUTH_ADDRESSES": CALLER, "SMSBRIDGE_HTTP_HOST": "0.0.0.0",
                "SMSBRIDGE_HTTP_TRUSTED_PROXIES": ",".join(trusted), "SMSBRIDGE_TOPICS_PARTITIONS": "1",
                "SMSBRIDGE_TOPICS_REPLICATION": "1", "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true",
                # Nothing goes through the spool because the machine is busy: a count is easier to read then.
                "SMSBRIDGE_PUBLISH_HEDGE": "700ms",
                # What a pause of both instances interrupts is in time nonetheless.
                "SMSBRIDGE_PUBLISH_DEADLINE": "7s", **(extra or {})}
            ports = tuple(int(url.rpartition(":")[2]) for url in (self.bridges[index].url, self.bridges[index].admin)) if len(
                self.bridges) > index else None
            bridge = Bridge.start(self.binary, self.options.bootstrap, self.prefix, self.folder, name, environment, ports=ports,
                                  spool=os.path.join(self.folder, f"spool-{name}"))
            self.environment[index:index + 1], self.bridges[index:index + 1] = [environment], [bridge]

    def restart(self, index):
        bridge = self.bridges[index]
        ports = tuple(int(url.rpartition(":")[2]) for url in (bridge.url, bridge.admin))
        code = bridge.end()
        self.bridges[index] = Bridge.start(self.binary, self.options.bootstrap, self.prefix, self.folder, "ab"[index],
                                           self.environment[index], ports=ports, spool=os.path.join(self.folder, f"spool-{'ab'[index]}"))
        return code

    def start_again(self, extra):
        for bridge in self.bridges:
            bridge.end()
        self.start(extra)

    def backends(self, delayed=False):
        host = self.delay.far if delayed else "127.0.0.1"
        return [(host, int(bridge.url.rpartition(":")[2])) for bridge in self.bridges]

    def metric(self, name, labels=""):
        """Of both bridges together."""
        total = 0.0
        for bridge in self.bridges:
            for line in bridge.admin_page("/metrics").splitlines():
                found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
                if found and labels in (found[1] or ""):
                    total += float(found[2])
        return total

    @contextlib.contextmanager
    def running(self, delayed=False, change=None):
        """All proxies, in front of both bridges."""
        started = []
        try:
            for proxy in self.proxies:
                with self.report.case(f"{proxy.name} starts with the page's configuration"):
                    proxy.start(self.backends(delayed), change and (lambda text, p=proxy: change(p, text)))
                    started.append(proxy)
            yield started
        finally:
            for proxy in started:
                proxy.end()

    def end(self):
        for proxy in self.proxies:
            proxy.end()
        if self.topics:
            self.topics.close()
        for bridge in self.bridges:
            if bridge.process.poll() is None:
                # Also of one that is stopped.
                bridge.process.kill()
                bridge.process.wait(10)
        if self.delay:
            self.delay.end()


# ---- one proxy at a time


def callbacks(stand, proxy):
    report, topics = stand.report, stand.topics
    with report.case(f"{proxy.name}: a callback by POST arrives as it was sent"):
        mark, reference = topics.mark(), secrets.token_hex(8)
        status, headers, text = ask(proxy, "POST", "/webhooks/delivery-status", body(reference), {"Content-Type": "application/json"})
        equal((status, text), (200, b"True"), "answer")
        check(headers["X-Request-Id"] and "no-store" in headers["Cache-Control"], f"headers {headers}")
        value = topics.one(mark).json
        equal(value["reference"], reference, "reference")
    for size in (9_000, 15_000, 30_000):
        with report.case(f"{proxy.name}: a callback by GET with a query of {size} bytes arrives whole"):
            mark = topics.mark()
            query = "IncomingID=1&Phonenumber=27123456789&IncomingData="
            query += "%E2%98%8E" * ((size - len(query)) // 9)
            equal(ask(proxy, "GET", f"/webhooks/reply?{query}")[0], 200, "status")
            equal(topics.one(mark).json["raw"]["query"], query, "query")
    with report.case(f"{proxy.name}: three clicks that look alike are three events"):
        mark = topics.mark()
        for _ in range(3):
            equal(ask(proxy, "GET", "/webhooks/url-click?type=REDIRECT&msgNumTo=27000000009&landingPageName=x")[0], 200, "status")
        equal(len({record.header("ce_id") for record in topics.after(mark, 3)}), 3, "events")
    with report.case(f"{proxy.name}: neither 404 nor /healthz is answered by a cache"):
        before = stand.metric("smsbridge_http_responses_total", 'status="404"'), stand.metric("smsbridge_http_requests_total", "/healthz")
        for _ in range(3):
            equal(ask(proxy, "GET", "/nothing")[0], 404, "status")
            equal(ask(proxy, "GET", "/healthz")[0], 200, "status")
        after = stand.metric("smsbridge_http_responses_total", 'status="404"'), stand.metric("smsbridge_http_requests_total", "/healthz")
        equal(after[0] - before[0], 3, "answers 404 of the bridges")
        check(after[1] - before[1] >= 3, f"the bridges were asked {after[1] - before[1]} times")
    with report.case(f"{proxy.name}: harmless variants of the path"):
        for path in ("//webhooks/reply", "/webhooks//reply", "/Webhooks/Reply", "/webhooks/reply//", "//webhooks"):
            status, _, _ = ask(proxy, "POST", path, b'{"Id":1,"To":"1","Message":"x","Msisdn":"27123456789"}')
            equal(status, 200, path)


FORGED = [
    CALLER, f"{CALLER}, {CALLER}", f"{CALLER}:443", f"::ffff:{CALLER}", f"[::ffff:{CALLER}]", f"10.0.0.1, {CALLER}", f"{CALLER}, 127.0.0.1",
    "127.0.0.1", "127.0.0.1, 127.0.0.1", f"{CALLER},", f",{CALLER}", f" {CALLER} ", f"\t{CALLER}", "unknown", f"unknown, {CALLER}", "",
    f"for={CALLER}", f'"{CALLER}"', f"{CALLER} ", f"{CALLER};", f"{CALLER}/32", "0.0.0.0/0", "*", "2130706441", "0x7f000009", "0177.0.0.9",
    ", ".join([CALLER] * 60),
]


def addresses(stand, proxy):
    report = stand.report
    forms = [{"X-Forwarded-For": text} for text in FORGED] + [
        {name: CALLER} for name in ("X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "X_Forwarded_For", "X-Forwarded-For2")]
    with report.case(f"{proxy.name}: no forged address gets in ({len(forms)} forms)"):
        count = stand.topics.count()
        for headers in forms:
            status, _, _ = ask(proxy, "POST", "/webhooks/delivery-status", body("forged"), headers, source=STRANGER)
            check(status in (400, 401), f"{headers}: status {status}")
        equal(stand.topics.count(), count, "records")
    with report.case(f"{proxy.name}: an allowed caller gets in whatever an earlier proxy has said"):
        for text in ("203.0.113.9", "junk", f"{STRANGER}, 203.0.113.9"):
            status, _, _ = ask(proxy, "POST", "/webhooks/delivery-status", body("allowed"), {"X-Forwarded-For": text})
            equal(status, 200, f"status with {text!r}")


def unescaped(stand, proxy):
    """Not every proxy passes it on; where one does, the bridge takes it."""
    with stand.report.case(f"{proxy.name}: a query that is not escaped is accepted, or rejected by the proxy itself"):
        mark = stand.topics.mark()
        with open_socket(proxy) as client:
            client.sendall(f"GET /webhooks/reply?IncomingID=9&Phonenumber=27123456789&IncomingData=café HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n"
                           f"X-Webhook-Secret: {SECRET}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            with contextlib.suppress(OSError):
                while part := client.recv(65536):
                    answer += part
        check(answer.startswith(b"HTTP/1.1 "), f"the answer is {answer!r}")
        status = int(answer.split(b" ", 2)[1])
        if proxy.name == "nginx":
            equal(status, 200, "status")
        if status == 200:
            equal(stand.topics.one(mark).json["text"], "café", "text")
        else:
            check(status == 400 and b"X-Request-Id" not in answer, f"rejected with {status} by the bridge")


def smuggling(stand, proxy):
    report, cases = stand.report, list(desync.table(SECRET, f"127.0.0.1:{proxy.port}"))

    def seen():
        return stand.metric("smsbridge_authentication_failures_total", 'proof="address"')

    with report.case(f"{proxy.name}: the bridge sees no request that the proxy has not ({len(cases)} cases)"):
        before = seen()
        for name, data in cases:
            with contextlib.suppress(OSError), open_socket(proxy, timeout=0.7) as client:
                client.sendall(data)
                while client.recv(65536):
                    pass
            # On the connections that the proxy keeps, the next caller gets the answer to its own request.
            reference = secrets.token_hex(6)
            status, headers, text = ask(proxy, "POST", "/webhooks/delivery-status", body(reference))
            check(status == 200 and text == b"True", f"after {name!r} the next caller got {status}")
            check(seen() == before, f"{name!r} reached the bridge as a request of its own")


# ---- all proxies at once


class Load(threading.Thread):
    """One caller with a connection that it keeps."""

    def __init__(self, proxy, pause, number):
        super().__init__(daemon=True)
        self.proxy, self.pause, self.number = proxy, pause, number
        self.ending, self.answers = threading.Event(), []
        self.start()

    def run(self):
        connection, count = None, 0
        while not self.ending.wait(self.pause()):
            count += 1
            reference = f"{self.proxy.name}-{self.number}-{count}-{secrets.token_hex(4)}"
            try:
                connection = connection or connect(self.proxy)
                connection.request("POST", "/webhooks/delivery-status", body(reference),
                                   {"X-Webhook-Secret": SECRET, "Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    by = f"the bridge ({answer.headers['X-Request-Id']})" if answer.headers["X-Request-Id"] else "the proxy"
                    print(f"      {time.strftime('%H:%M:%S')} {reference}: {answer.status} by {by}: {text[-80:]!r}", flush=True)
                self.answers.append((reference, answer.status))
                if answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.answers.append((reference, f"{type(error).__name__}: {error}"))
                connection = None
        if connection:
            connection.close()


def judge(stand, title, loads, least):
    """Every answer is 200, and everything that got one is in Kafka once."""
    for load in loads:
        load.ending.set()
    for load in loads:
        load.join(20)
    stand.topics.settle(30)
    found = {}
    for record in list(stand.topics.records):
        if record.suffix == "delivery-status":
            reference = record.json.get("reference")
            found[reference] = found.get(reference, 0) + 1
    for proxy in {load.proxy for load in loads}:
        with stand.report.case(f"{proxy.name}: {title}"):
            answers = [answer for load in loads if load.proxy is proxy for answer in load.answers]
            wrong = [answer for answer in answers if answer[1] != 200]
            print(f"      {proxy.name}: {len(answers)} requests, {len(wrong)} not answered 200", flush=True)
            check(len(answers) >= least, f"only {len(answers)} requests")
            check(not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:5]}")
            missing = [reference for reference, _ in answers if reference not in found]
            repeated = [reference for reference, _ in answers if found.get(reference, 0) > 1]
            check(not missing, f"{len(missing)} answered 200 are not in Kafka: {missing[:5]}")
            check(not repeated, f"{len(repeated)} are in Kafka more than once: {repeated[:5]}")


def rolling(stand, delayed, change=None, title="a rolling restart of both instances under load"):
    with stand.running(delayed, change) as running:
        time.sleep(3)
        loads = [Load(proxy, lambda: 0.02 + secrets.randbelow(60) / 1000, number) for proxy in running for number in range(4)]
        time.sleep(2)
        for index in (0, 1):
            with stand.report.case(f"instance {'ab'[index]} ends in order"):
                equal(stand.restart(index), 0, "exit code")
            # Two intervals of the proxies' health checks.
            time.sleep(3)
        judge(stand, f"{title}{' with network delay' if delayed else ''}: every answer is 200, each in Kafka once", loads, 200)


def paused(stand):
    """Both instances answer nothing for three seconds, health checks included: a snapshot of the machine, or too little CPU."""
    with stand.running() as running:
        time.sleep(3)
        loads = [Load(proxy, lambda: 0.02 + secrets.randbelow(60) / 1000, number) for proxy in running for number in range(4)]
        time.sleep(2)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for bridge in stand.bridges:
                bridge.process.send_signal(number)
            time.sleep(3)
        judge(stand, "both instances paused for three seconds: every answer is 200, each in Kafka once", loads, 80)


def keep_alive(stand, title, seconds, asserts=True, change=None):
    """Callers that come about as often as the shorter of the two sides closes its connections: every two seconds."""
    with stand.running(True, change) as running:
        loads = [Load(proxy, lambda: 1.9 + secrets.randbelow(200) / 1000, number) for proxy in running for number in range(8)]
        time.sleep(seconds)
        if asserts:
            return judge(stand, title, loads, 8 * int(seconds / 2.5))
        for load in loads:
            load.ending.set()
        for load in loads:
            load.join(20)
        for proxy in running:
            answers = [answer for load in loads if load.proxy is proxy for answer in load.answers]
            print(f"      {title}: {proxy.name}: {sum(1 for _, status in answers if status != 200)} of {len(answers)} failed", flush=True)
    return None


def short_pool(proxy, text):
    """The proxy's pool ends after two seconds, where the page or the proxy has a setting for it."""
    if proxy.pool is None:
        return text
    return proxies.replaced(text, [proxy.pool])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the bridge, perhaps with arguments before `serve`")
    parser.add_argument("--bootstrap", required=True, help="the brokers")
    parser.add_argument("--only", metavar="NAME", default="", help="one proxy")
    parser.add_argument("--part", choices=["callbacks", "smuggling", "rolling", "paused", "keep-alive"], help="one part")
    parser.add_argument("--seconds", type=int, default=20, help="of each part that waits for connections to be closed (20)")
    parser.add_argument("--controls", action="store_true", help="also how many fail where the bridge closes idle connections before the proxy")
    parser.add_argument("--keep", metavar="FOLDER", help="leave logs there")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    report, binary = Report(verbose=True), shlex.split(options.binary)
    binary[0] = os.path.abspath(binary[0])
    folder = options.keep or tempfile.mkdtemp(prefix="smsbridge-proxies-")
    os.makedirs(folder, exist_ok=True)
    # Apache's workers are not root.
    os.chmod(folder, 0o755)
    stand = Stand(report, options, folder, binary)

    def part(name):
        return options.part in (None, name)

    try:
        for kind in proxies.ALL:
            if options.only.lower() in kind.name.lower():
                if kind.is_there():
                    stand.proxies.append(kind(folder, stand.certificate))
                    print(f"      {stand.proxies[-1].version()}", flush=True)
                else:
                    report.skip(kind.name, f"{kind.program} is not installed")
        try:
            stand.delay = Delay(DELAY)
        except OSError as error:
            report.skip("network delay", f"a TUN device cannot be made here: {error}")
        stand.start()
        stand.topics = Topics(options.bootstrap, stand.prefix)
        stand.topics.start()
        if part("callbacks") or part("smuggling"):
            with stand.running() as running:
                for proxy in running:
                    if part("callbacks"):
                        callbacks(stand, proxy)
                        addresses(stand, proxy)
                        unescaped(stand, proxy)
                    if part("smuggling"):
                        smuggling(stand, proxy)
        if part("rolling"):
            rolling(stand, False)
            if stand.delay:
                rolling(stand, True)
        if part("paused"):
            paused(stand)
        if part("keep-alive") and stand.delay:
            keep_alive(stand, "connections that rest about as long as the proxy keeps them, with network delay", options.seconds,
                       change=short_pool)
        if options.controls:
            stand.start_again({"SMSBRIDGE_HTTP_IDLE_TIMEOUT": "2s"})
            keep_alive(stand, "with http.idleTimeout of 2 s, shorter than the proxy's", options.seconds, asserts=False)
        return report.end()
    finally:
        stand.end()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
