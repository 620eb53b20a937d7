"""Processes of the consumer library on one topic, and the ledger that all of them append to."""

import os
import re
import signal
import subprocess
import time
from collections import Counter, namedtuple

from confluent_kafka.admin import NewTopic
from report import check

# A handled event: process, partition, offset, number, its place among all events, monotonic milliseconds.
Handled = namedtuple("Handled", "pid partition offset number index at")


def now():
    return time.monotonic_ns() // 1_000_000


class Probe:
    """One process of ConsumerProbe."""

    def __init__(self, flock, name):
        self.name = name
        self.output, self.log = (os.path.join(flock.folder, f"{name}.{kind}") for kind in ("out", "err"))
        with open(self.output, "wb") as output, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [flock.program("SMSBridgeConsumerProbe"), flock.way, flock.group, flock.prefix, flock.ledger, *flock.options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=log)
        self.killed = self.ended = None

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.killed = now()

    def terminate(self):
        self.ended = now()
        self.process.terminate()

    def errors(self):
        """All of its log."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def last_words(self, length=1_500):
        """Where it crashed: the log from the line that tells why; else the end of the log."""
        text = self.errors()
        why = re.search(r"^.*(Assertion|\*\*\*|Fatal error)", text, re.M)
        return text[why.start():why.start() + length] if why else text[-length:]

    def memory(self, key="VmHWM"):
        """In megabytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(rf"^{key}:\s+(\d+)", file.read(), re.M)[1]) / 1_024

    def metrics(self, name):
        """Asks for the metrics; the values of one by its labels' text (empty for a metric without labels)."""
        with open(self.output, encoding="utf-8") as file:
            file.seek(0, os.SEEK_END)
            self.process.send_signal(signal.SIGUSR1)
            text, limit = "", time.monotonic() + 10
            while "# end" not in text and time.monotonic() < limit:
                time.sleep(0.1)
                text += file.read()
        return {labels: float(value) for labels, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.M)}


class Flock:
    """A filled topic, a group, and the probes that are its members."""

    def __init__(self, suite, name, events, numbers, partitions=12, cluster=None):
        self.cluster = cluster or suite.cluster
        self.bootstrap = self.cluster.bootstrap
        # The way that the probes take.
        self.way = self.bootstrap
        self.binaries = os.path.dirname(suite.binary[0])
        self.prefix = self.group = f"chaos-{name}-{os.urandom(3).hex()}"
        self.folder = os.path.join(suite.folder, self.prefix)
        os.mkdir(self.folder)
        self.events, self.numbers, self.options = events, numbers, []
        self.topic = f"{self.prefix}.delivery-status"
        self.members, self.all = [], []
        self.begin(self.group)
        self.cluster.admin.create_topics([NewTopic(self.topic, partitions, 1)])[self.topic].result()
        done = subprocess.run(
            [self.program("SMSBridgeConsumerBench"), "fill", self.bootstrap, self.prefix, str(events), str(numbers)],
            capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"the topic could not be filled: {done.stderr[-400:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for probe in self.all:
            if probe.process.poll() is None:
                probe.kill()

    def program(self, name):
        return os.path.join(self.binaries, name)

    def begin(self, group):
        """A group that has handled nothing."""
        self.group, self.ledger = group, os.path.join(self.folder, f"{group}.ledger")
        self.lines, self.handled, self.place = [], set(), 0
        with open(self.ledger, "wb"):
            pass

    def number(self, index):
        return f"2782{1_000_000 + index % self.numbers}"

    def start(self, *options):
        self.options = list(options) or self.options
        self.members.append(Probe(self, f"probe-{len(self.all) + 1}"))
        self.all.append(self.members[-1])
        return self.members[-1]

    def read(self):
        """What has been handled since. A line that is being written may be seen in part: it comes whole the next time."""
        with open(self.ledger, "rb") as file:
            file.seek(self.place)
            text = file.read()
        text = text[:text.rfind(b"\n") + 1]
        self.place += len(text)
        for line in text.decode().splitlines():
            pid, partition, offset, number, reference, at = line.split()
            one = Handled(int(pid), int(partition), int(offset), number, int(reference.removeprefix("order-")), int(at))
            self.lines.append(one)
            self.handled.add(one.index)

    def alive(self):
        for probe in self.members:
            status = probe.process.poll()
            check(status is None, f"{probe.name} ended with {status}: {probe.last_words()}")

    def await_all(self, limit, without=()):
        """Until every event was handled, but those of some numbers."""
        left = {index for index in range(self.events) if self.number(index) not in without}
        end = time.monotonic() + limit
        while left:
            self.alive()
            time.sleep(0.05)
            self.read()
            left -= self.handled
            check(time.monotonic() < end, f"{len(left)} events are not handled after {limit} s, {min(left, default=0)} first")

    def end(self, limit=30):
        """SIGTERM for all; each must end by itself, without an error."""
        for probe in self.members:
            probe.terminate()
        for probe in self.members:
            self.ended(probe, limit)
        self.members = []

    def ended(self, probe, limit=30):
        try:
            status = probe.process.wait(limit)
        except subprocess.TimeoutExpired:
            status = f"lives {limit} s after SIGTERM"
        # SIGTERM may meet a process that does not listen for it yet.
        check(status == 0 or status == -signal.SIGTERM and not probe.errors(), f"{probe.name}: {status}: {probe.last_words()}")

    # ---- the judge

    def check_order(self):
        """Of each number, each event was handled for the first time right after the one before it."""
        next_of, broken = {}, []
        for place, line in enumerate(self.lines):
            expected = next_of.setdefault(line.number, line.index % self.numbers)
            if line.index > expected:
                broken.append(f"line {place}: {line}, before {expected}")
            elif line.index == expected:
                next_of[line.number] = expected + self.numbers
        check(not broken, f"{len(broken)} events overtook one of the same number: {broken[:3]}")

    def check_all_handled(self):
        missing = [index for index in range(self.events) if index not in self.handled]
        check(not missing, f"{len(missing)} events were never handled: {missing[:5]}")

    def lost(self):
        """How often a member heard that its partitions had gone to others without its consent."""
        return sum(probe.errors().count("partitions lost") for probe in self.all)

    def repeats(self):
        """How many events were handled again, by what became of the process that had handled them: `killed`, `ended`
        (by SIGTERM), `alive`; and how long before a kill they had been handled, at most, in milliseconds."""
        by_pid = {probe.process.pid: probe for probe in self.all}
        kinds, last, oldest = Counter(), {}, 0
        for line in self.lines:
            earlier = last.get(line.index)
            last[line.index] = line
            if earlier is None:
                continue
            probe = by_pid[earlier.pid]
            if probe.killed and line.pid != earlier.pid:
                kinds["killed"] += 1
                oldest = max(oldest, probe.killed - earlier.at)
            else:
                kinds["ended" if probe.ended and line.at >= probe.ended else "alive"] += 1
        return kinds, oldest
