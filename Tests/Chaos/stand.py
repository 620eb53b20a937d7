"""One scenario's stand: a bridge with a spool of its own, topics of their own, load on it, and the judge at the end."""

import json
import os
import re
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

import loglines
from bridge import Bridge, free_port
from faults import Faults
from ledger import ENDS, Load, percentile
from reader import Reader, Readers
from report import check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICK = os.sysconf("SC_CLK_TCK")
SECRET = "chaos-" + secrets.token_hex(12)
HEADER = f"X-Webhook-Secret: {SECRET}"


class DiskProbe:
    """Appends to a small file and syncs it, again and again: how long the machine's disk makes anybody wait."""

    STALL = 0.25  # seconds: with two of these, a commit and the one before it, an answer misses its deadline

    def __init__(self, folder):
        self.path, self.ending, self.slowest = os.path.join(folder, "probe"), threading.Event(), []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with open(self.path, "wb", buffering=0) as file:
            while not self.ending.wait(0.1):
                began = time.monotonic_ns()
                if file.tell() > 1 << 20:
                    file.truncate(0)
                    file.seek(0)
                file.write(b"x" * 4096)
                os.fdatasync(file.fileno())
                took = time.monotonic_ns() - began
                if took > 50_000_000:
                    self.slowest.append((began, took / 1e9))

    def worst(self):
        return max((took for _, took in self.slowest), default=0.0)

    def stalled(self, began, ended):
        """Whether the disk kept somebody waiting for long in that time."""
        return any(took > self.STALL and at < ended and at + took * 1e9 > began for at, took in self.slowest)

    def close(self):
        self.ending.set()
        self.thread.join(5)


def eventually(holds, within):
    """Whether it holds now or soon."""
    deadline = time.monotonic() + within
    while not (result := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result


class Stand:
    """- faults: whether the disk and the clock of the bridge can be made to fail: `self.faults`.
    - prefix: the topics of another stand, whose second instance this one is."""

    def __init__(self, suite, name, cluster=None, bootstrap=None, environment=None, spool=None, partitions=3, replication=1,
                 faults=False, prefix=None):
        self.suite, self.name = suite, name
        self.cluster = cluster or suite.cluster
        self.bootstrap = bootstrap or self.cluster.bootstrap
        self.prefix = prefix or f"chaos-{name}-{secrets.token_hex(3)}"
        self.ports = (free_port(), free_port())
        self.folder = os.path.join(suite.folder, f"{self.prefix}{'-second' if prefix else ''}")
        os.mkdir(self.folder)
        self.spool = spool or os.path.join(self.folder, "spool")
        os.makedirs(self.spool, exist_ok=True)
        self.environment = {
            "SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET, "SMSBRIDGE_TOPICS_PARTITIONS": str(partitions),
            "SMSBRIDGE_TOPICS_REPLICATION": str(replication), "SMSBRIDGE_SHUTDOWN_DELAY": "0s",
            **({"SMSBRIDGE_SPOOL_NONE": "true"} if suite.spool == "none" else {}), **(environment or {})}
        self.faults = Faults(suite.tools, self.folder, self.spool) if faults else None
        if self.faults:
            self.environment |= self.faults.environment
        self.bridge, self.loads, self.reader, self.ended = None, [], None, []
        self.probe = DiskProbe(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for load in self.loads:
            load.end()
        self.cluster.resume_all()
        if self.bridge is not None and self.bridge.process.poll() is None:
            self.bridge.process.kill()
            self.bridge.process.wait(10)
        if self.reader:
            self.reader.close()
        if self.faults:
            self.faults.close()
        self.probe.close()
        if kind is not None and self.suite.keep:
            print(f"      {self.name}: log and ledger in {self.folder}", flush=True)

    # ---- the bridge

    def start(self, ready=True, within=30, wait=True):
        self.bridge = Bridge.start(self.suite.binary, self.bootstrap, self.prefix, self.folder, "bridge", self.environment, within,
                                   self.ports, self.spool, ready)
        return self

    def kill(self):
        self.bridge.process.kill()
        self.bridge.process.wait(10)

    def terminate(self, within):
        """SIGTERM; the exit status, and how long it took."""
        began = time.monotonic()
        self.bridge.terminate()
        try:
            status = self.bridge.process.wait(within)
        except Exception:
            raise AssertionError(f"the bridge lives {within} s after SIGTERM: {self.bridge.log()[-400:]}") from None
        return status, time.monotonic() - began

    def alive(self):
        status = self.bridge.process.poll()
        check(status is None, f"the bridge ended with {status}: {self.bridge.log()[-600:]}")

    def status(self, path="/readyz", public=False):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open((self.bridge.url if public else self.bridge.admin) + path, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def readiness(self):
        """What /readyz says, as JSON, whatever its status is."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.bridge.admin + "/readyz", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def findings(self):
        """What the status page shows as wrong."""
        return json.loads(self.bridge.admin_page("/status"))["findings"]

    def metric(self, name, **labels):
        """The sum of a metric's samples with these labels; None when there is none."""
        total = None
        for line in self.bridge.admin_page("/metrics").splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if match and all(f'{key}="{value}"' in (match.group(1) or "") for key, value in labels.items()):
                total = (total or 0.0) + float(match.group(2))
        return total

    def cpu(self):
        with open(f"/proc/{self.bridge.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, key="VmHWM"):
        """MB (10^6 bytes)."""
        with open(f"/proc/{self.bridge.process.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{key}:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024 / 1e6

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.bridge.process.pid}/fd"))

    def spool_bytes(self):
        total = 0
        for folder, _, names in os.walk(self.spool):
            for name in names:
                try:
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total

    def busy(self, seconds):
        """The CPU that the bridge takes over so long, in cores."""
        began, used = time.monotonic(), self.cpu()
        time.sleep(seconds)
        return (self.cpu() - used) / (time.monotonic() - began)

    # ---- load and Kafka

    def load(self, rate, seconds=600, **options):
        load = Load(self.suite.tools, self.folder, self.ports[0], rate, seconds, HEADER, **options)
        self.loads.append(load)
        return load

    def read(self, *clusters):
        """Begins to read (else the judge does), from the stand's own cluster or from all of these, in their order."""
        if not self.reader:
            readers = [Reader(cluster, self.prefix) for cluster in clusters or [self.cluster]]
            self.reader = readers[0] if len(readers) == 1 else Readers(readers)
        return self.reader

    # ---- what is reported. Each is a case of its own: a report that is missing fails nothing else.

    def expect_metric(self, name, least=1, most=float("inf"), within=4, **labels):
        wanted = f"at least {least}" if most == float("inf") else f"{least}" if least == most else f"{least} to {most}"
        with self.case(f"the metric {name} is {wanted}"):
            in_range = lambda: (value := self.metric(name, **labels)) is not None and least <= value <= most
            check(eventually(in_range, within), f"it is {self.metric(name, **labels)}")

    def alerts(self, pattern):
        """The alerts of /readyz whose name or reason matches a regular expression: `name: reason` each."""
        alerts = [f"{name}: {reason}" for name, reason in self.readiness()["alerts"].items()]
        return [alert for alert in alerts if re.search(pattern, alert, re.I)]

    def expect_alert(self, pattern, *texts, within=4):
        """- texts: what one of them must contain."""
        with self.case(f"/readyz has an alert about {pattern!r}"):
            check(eventually(lambda: self.alerts(pattern), within), f"it says {self.readiness()}")
            found = self.alerts(pattern)
            check(any(all(text in alert for text in texts) for alert in found), f"it says {found}, without {texts}")

    def expect_no_alert(self, pattern, within=10):
        with self.case(f"the alert about {pattern!r} ends"):
            check(eventually(lambda: not self.alerts(pattern), within), f"/readyz says {self.readiness()}")

    def expect_log(self, text, *fields, within=4):
        with self.case(f"the log has a line with {text!r}" + (f" and {', '.join(fields)}" if fields else "")):
            lines = lambda: [line for line in self.bridge.log().splitlines() if text in line]
            check(eventually(lines, within), "it has none")
            check(any(all(field in line for field in fields) for line in lines()), f"it has {lines()[0]!r}")

    def expect_finding(self, pattern, within=4):
        """- pattern: a regular expression for its title."""
        with self.case(f"the status page has a finding about {pattern!r}, with an alert rule"):
            matching = lambda: [one for one in self.findings() if re.search(pattern, one["title"], re.I)]
            check(eventually(matching, within), f"it has {[one['title'] for one in self.findings()]}")
            with open(os.path.join(ROOT, "deploy", "prometheus", "alerts.yml"), encoding="utf-8") as file:
                rules = set(re.findall(r"alert: (\w+)", file.read()))
            check({one["alert"] for one in matching()} & rules, f"{[one['alert'] for one in matching()]} is no alert rule")

    def check_log_lines(self):
        with self.case("every line of the log is JSON or strict logfmt"):
            wrong = loglines.complaints(self.bridge.log())
            check(not wrong, f"{len(wrong)} lines: {wrong[:3]}")

    def check_log_rate(self, most):
        """That no message fills the log."""
        with self.case(f"no log message is repeated more than {most} times"):
            counts = Counter()
            for line in self.bridge.log().splitlines():
                try:
                    counts[json.loads(line)["message"]] += 1
                except (ValueError, KeyError, TypeError):
                    continue
            check(counts, "no line of the log could be read")
            message, count = counts.most_common(1)[0]
            check(count <= most, f"{message!r} {count} times")

    def judge(self, *, within=30, unavailable=None, broken=False, order=True, lost=None, limit=None, strangers=None,
              quiet=False, overtaken=None, quarantined=None):
        """Ends the load and compares: every check of its own is a case of the report.

        - unavailable: 503s allowed? By default only without a spool. A function says of an entry whether it may be one.
        - overtaken: a function that says of an entry whether later ones may be before it; they are counted.
        - quarantined: a function that says of an entry whether it belongs in the quarantine topic.
        - broken: connections may have ended without an answer (the bridge was killed).
        - order: whether first copies must be in order; without a spool, over an outage, it is not promised.
        - lost: a function that says of an entry whether it may be missing, to be counted and named.
        - limit: seconds for each answer, instead of promise 2's.
        - strangers: how references begin that others than the load have sent.
        """
        suite, case = self.suite, self.case
        self.check_log_lines()
        for load in self.loads:
            load.stop()
        entries = [entry for load in self.loads for entry in load.entries]
        acknowledged = [e for e in entries if e.acknowledged]
        references = [e.reference for e in acknowledged]
        if overtaken is None and "spool bypassed" in self.bridge.log():
            # A machine that is too busy to read the spool in time bypasses it, which gives up the order, and says so.
            overtaken = lambda _: True  # noqa: E731
        unavailable = suite.spool == "none" if unavailable is None else unavailable
        may_be_unavailable = unavailable if callable(unavailable) else lambda _: unavailable
        limit = limit or suite.limit
        reader = self.read()
        deadline, began = time.monotonic() + within, time.monotonic()
        while True:
            missing = reader.missing(references)
            if lost:
                gone = set(missing)
                excused = [e for e in acknowledged if e.reference in gone and lost(e)]
                missing = list(gone - {e.reference for e in excused})
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        took = time.monotonic() - began
        by_reference = {e.reference: e for e in entries}
        with case("every event that got a 2xx is in Kafka"):
            check(references, "no event got a 2xx: nothing was proven")
            place = [f"{r} ({by_reference[r].topic}, answered {(by_reference[r].answered - self.loads[0].began) / 1e9:.2f} s "
                     "into the load)" for r in sorted(missing, key=lambda r: by_reference[r].answered)[:5]]
            check(not missing, f"{len(missing)} of {len(references)} are missing after {took:.0f} s: {', '.join(place)}")
        settled = reader.settle(15) if not lost else True
        keyless = tuple(f"c{load.run}-" for load in self.loads if load.keyless)
        with case("what is in Kafka is what was sent: key, topic, one id an event, one event an id"):
            check(settled, "not every record could be read")
            with reader.lock:
                wrong = [text for text in reader.problems if not (strangers and text.startswith(strangers))]
                for reference, copy in reader.first.items():
                    entry = by_reference.get(reference)
                    if strangers and reference.startswith(strangers):
                        continue
                    if entry is None:
                        wrong.append(f"{reference} was never sent")
                        continue
                    topic = "quarantine" if quarantined and quarantined(entry) else entry.topic
                    if copy.topic != topic or (copy.refused_by or copy.topic) != entry.topic:
                        wrong.append(f"{reference} was sent to {entry.topic} and is in {copy.topic}")
                    if (copy.key is None) != reference.startswith(keyless or "-"):
                        wrong.append(f"{reference} has the key {copy.key}")
            check(not wrong, f"{len(wrong)}: {'; '.join(wrong[:4])}")
        ordered = [e for e in acknowledged if not e.reference.startswith(keyless or "-")]
        inverted = self._inversions(reader, ordered)
        overtakings = [e for e in inverted if overtaken and overtaken(e)]
        if order:
            with case("the first copies of a number's events are in the order of their answers"):
                broken_order = [e.reference for e in inverted if not (overtaken and overtaken(e))]
                check(not broken_order, f"{len(broken_order)} are not: {', '.join(self._history(reader, by_reference, r) for r in broken_order[:3])}")
        answers = [e.seconds for e in entries if e.end == 0]
        slow = [e for e in entries if e.end == 0 and e.seconds > limit]
        unanswered = [e for e in entries if e.end in (2, 3, 4) or e.end in (1, 5) and not broken]
        with case(f"every request is answered within {limit:g} s"):
            worst = f"{len(slow)} of {len(answers)} took longer, the longest {max(answers, default=0):.2f} s"
            check(not slow, worst)
            ends = {text: sum(e.end == i for e in unanswered) for i, text in enumerate(ENDS)}
            check(not unanswered, f"{len(unanswered)} have no answer: { {k: v for k, v in ends.items() if v} }")
        refusals = [e for e in entries if e.end == 0 and not e.acknowledged]
        # Neither Kafka nor a disk that stands still could take it: honest, and this machine's doing.
        stalled = [e for e in refusals if not may_be_unavailable(e) and e.status == 503 and e.retry_after
                   and self.probe.stalled(e.sent, e.answered)]
        excused_refusals = {e.reference for e in stalled}
        refusals = [e for e in refusals if e.reference not in excused_refusals]
        name = "no request is rejected while Kafka is well" if callable(unavailable) else \
            "a refusal is a 503 with Retry-After" if unavailable else "no request is refused"
        with case(name):
            others = [e for e in refusals if not (e.status == 503 and e.retry_after and may_be_unavailable(e))]
            statuses = {s: sum(e.status == s for e in others) for s in sorted({e.status for e in others})}
            first, last = (edge((e.answered for e in others), default=0) for edge in (min, max))
            check(not others, f"{len(others)} of {len(entries)}: {statuses}, {sum(not e.retry_after for e in others)} without "
                  f"Retry-After, the first {(first - self.loads[0].began) / 1e9:.2f} s and the last "
                  f"{(last - self.loads[0].began) / 1e9:.2f} s into the load; a sync of the disk took up to "
                  f"{self.probe.worst() * 1e3:.0f} ms")
        duplicates = sum(n for r, n in reader.copies.items() if not (strangers and r.startswith(strangers)))
        figures = {
            "sent": len(entries), "2xx": len(acknowledged), "503": sum(e.status == 503 for e in refusals), "503 while the disk stood still": len(stalled) or None,
            "broken": sum(e.end in (1, 5) for e in entries), "in Kafka without a 2xx":
            sum(1 for r in reader.first if r in by_reference and not by_reference[r].acknowledged),
            "duplicates": duplicates, "out of order": len(inverted), "of these allowed": len(overtakings) if overtaken else None,
            "in the quarantine": sum(copy.topic == "quarantine" for copy in reader.first.values()) or None,
            "p50": f"{percentile(answers, 50) * 1e3:.1f} ms", "p99": f"{percentile(answers, 99) * 1e3:.1f} ms",
            "max": f"{max(answers, default=0) * 1e3:.0f} ms", "complete after": f"{took:.1f} s",
            "memory": f"{self.memory():.0f} MB" if self.bridge.process.poll() is None else None,
            "shed": sum(load.summary["shed"] for load in self.loads) or None,
            "a sync of the disk up to": f"{self.probe.worst() * 1e3:.0f} ms" if self.probe.slowest else None,
            "generator late by": f"{max(load.summary['worst_lag_ms'] for load in self.loads):.0f} ms"}
        if lost:
            figures["lost, as allowed"] = len(excused)
            if excused:
                self.tell(f"acknowledged and gone with what was deleted: {', '.join(e.reference for e in excused[:8])}"
                          + (" …" if len(excused) > 8 else ""))
        if not quiet:
            self.figures(**figures)
        return entries

    @staticmethod
    def _inversions(reader, acknowledged):
        """Events that come after a later one of the same number and topic."""
        latest, bad = {}, []
        with reader.lock:
            found = [(position, e) for e in acknowledged if (position := reader.position(e.reference)) is not None]
        for _, e in sorted(found, key=lambda pair: pair[0]):
            # The generator's run is part of the key: two runs know nothing of each other's order.
            key = (e.reference.partition("-")[0], e.number, e.topic)
            if e.sequence < latest.get(key, -1):
                bad.append(e)
            else:
                latest[key] = e.sequence
        return bad

    @staticmethod
    def _history(reader, by_reference, reference):
        """Where an event is, and where those of its number and topic are."""
        run, number, _ = reference.split("-")
        topic = by_reference[reference].topic
        found = [(reader.position(r), e, reader.first[r]) for r, e in by_reference.items()
                 if r.startswith(f"{run}-{number}-") and e.topic == topic and r in reader.first]
        line = " ".join(f"{e.sequence}@{copy.offset}" for _, e, copy in sorted(found, key=lambda one: one[0]))
        return f"{reference} ({topic}, as sequence@offset: {line})"

    # ---- what is told

    def case(self, text):
        return self.suite.report.case(f"{self.name}: {text}")

    def tell(self, text):
        print(f"      {self.name}: {text}", flush=True)

    def figures(self, **values):
        self.tell(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items() if value is not None))
