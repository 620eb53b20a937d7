"""Processes of the consumer library on one topic, and the ledger that all of them append to."""

import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter, namedtuple

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic
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
        self.killed = self.ended = self.exited = None

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.killed = now()

    def terminate(self):
        self.ended = now()
        self.process.terminate()

        def watch():
            self.process.wait()
            self.exited = now()

        threading.Thread(target=watch, daemon=True).start()

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

    def __init__(self, suite, name, events, numbers, partitions=12, cluster=None, replication=1):
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
        self.create_topic(partitions, replication)
        if events:
            self.fill(events, numbers)

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

    def create_topic(self, partitions, replication=1):
        self.cluster.admin.create_topics([NewTopic(self.topic, partitions, replication)])[self.topic].result()

    def fill(self, events, numbers, first=0, first_number=0):
        """Events from the index `first` on, to the numbers from `first_number` on in turn."""
        done = subprocess.run(
            [self.program("SMSBridgeConsumerBench"), "fill", self.bootstrap, self.prefix, str(events), str(numbers), str(first),
             str(first_number)], capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"the topic could not be filled: {done.stderr[-400:]}")

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

    def await_handled(self, indexes, limit):
        """Until the events with these indexes were handled."""
        left, end = set(indexes), time.monotonic() + limit
        while left - self.handled:
            self.alive()
            time.sleep(0.05)
            self.read()
            missing = left - self.handled
            check(time.monotonic() < end, f"{len(missing)} of {len(left)} events are not handled after {limit} s, "
                  f"{min(missing, default=0)} first")

    def await_handled_count(self, count, limit):
        end = time.monotonic() + limit
        while len(self.lines) < count:
            self.alive()
            time.sleep(0.02)
            self.read()
            check(time.monotonic() < end, f"{len(self.lines)} of {count} events were handled in {limit} s")

    def await_log(self, text, limit):
        """Until the newest member has said so."""
        end = time.monotonic() + limit
        while text not in self.members[-1].errors():
            self.alive()
            time.sleep(0.05)
            check(time.monotonic() < end, f"'{text}' is not in the log after {limit} s: {self.members[-1].last_words()}")

    def await_members(self, count, limit=20):
        """Until the group is stable with so many members."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found = self.cluster.admin.describe_consumer_groups([self.group])[self.group].result()
            if found.state.name == "STABLE" and len(found.members) == count and all(
                    member.assignment.topic_partitions for member in found.members):
                return
            time.sleep(0.2)
        check(False, f"the group is {found.state.name} with {len(found.members)} members")

    def await_leader(self, led, leaderless, limit=30):
        """Until these partitions have a leader, and those have none."""
        end = time.monotonic() + limit
        while True:
            found = self.cluster.admin.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            now = {p.id for p in found.values() if p.leader >= 0}
            if led <= now and not leaderless & now:
                return
            check(time.monotonic() < end, f"{now} have a leader")
            time.sleep(0.2)

    def await_brokers(self, count, limit=30):
        """Until the cluster has so many brokers."""
        end = time.monotonic() + limit
        while len(found := self.cluster.admin.list_topics(timeout=10).brokers) != count:
            check(time.monotonic() < end, f"{len(found)} brokers")
            time.sleep(0.2)

    def await_topic(self, name, limit, exists=True):
        """Until a topic exists, or does not exist."""
        end = time.monotonic() + limit
        while (name in self.cluster.admin.list_topics(timeout=10).topics) != exists:
            self.alive()
            check(time.monotonic() < end, f"{name} {'does not exist' if exists else 'exists'} after {limit} s: "
                  f"{self.members[-1].last_words()}")
            time.sleep(0.1)

    def configured(self, topic, name):
        """A value of a topic's configuration."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        return self.cluster.admin.describe_configs([resource])[resource].result()[name].value

    def judge(self):
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group, "enable.auto.commit": False,
                         "broker.address.family": "v4", "log_level": 0})

    def committed(self):
        """The sum of the offsets that the group has committed in the event topic."""
        consumer = self.judge()
        try:
            partitions = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            found = consumer.committed([TopicPartition(self.topic, p) for p in partitions], timeout=10)
            return sum(max(0, place.offset) for place in found)
        finally:
            consumer.close()

    def records(self, topic, count):
        """All records of a topic; with a count, that many. Without a count, records that are written during the read may be among them."""
        consumer = self.judge()
        try:
            known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in known}
            wanted = sum(high - low for low, high in ends.values())
            check(count is None or wanted == count, f"{wanted} records in {topic}, not {count}")
            consumer.assign([TopicPartition(topic, p, low) for p, (low, _) in ends.items()])
            found, limit = [], time.monotonic() + 15
            while len(found) < wanted and time.monotonic() < limit:
                found += [record for record in consumer.consume(500, 0.2) if not record.error()]
            check(len(found) == wanted or count is None and len(found) > wanted,
                  f"{len(found)} of {wanted} records of {topic} could be read")
            return found
        finally:
            consumer.close()

    def produce(self, topic, records, partition=None):
        """Keys, values and headers."""
        failed = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "broker.address.family": "v4", "log_level": 0,
                             "partitioner": "murmur2_random"})
        where = {} if partition is None else {"partition": partition}
        for key, value, headers in records:
            producer.produce(topic, value, key, headers=headers, on_delivery=lambda e, _: failed.append(e) if e else None, **where)
        check(producer.flush(20) == 0 and not failed, f"records were not written: {failed[:2]}")

    def fill_partitions(self, partitions, each, first):
        """So many events to each of these partitions, copied from the first ones of the topic; how many in all."""
        template = self.records_of(partitions[0], 1)[0]
        index = first
        for partition in partitions:
            batch = []
            for _ in range(each):
                value = re.sub(rb"order-\d+", b"order-%d" % index, template.value())
                value = re.sub(rb'"messageId":"\d+"', b'"messageId":"%d"' % (900_000_000_000 + index), value)
                value = re.sub(rb'"id":"[0-9a-f]+"', b'"id":"%032x"' % (1 << 100 | index), value, count=1)
                batch.append((template.key(), value, template.headers()))
                index += 1
            self.produce(self.topic, batch, partition)
        return index - first

    def records_of(self, partition, count):
        """The first records of a partition."""
        consumer = self.judge()
        try:
            consumer.assign([TopicPartition(self.topic, partition, 0)])
            found, limit = [], time.monotonic() + 15
            while len(found) < count and time.monotonic() < limit:
                found += [record for record in consumer.consume(count, 0.2) if not record.error()]
            return found
        finally:
            consumer.close()

    def recreate(self, partitions):
        """Deletes the topic and creates it again at once."""
        self.cluster.admin.delete_topics([self.topic])[self.topic].result()
        end = time.monotonic() + 20
        while True:
            try:
                self.cluster.admin.create_topics([NewTopic(self.topic, partitions, 1)])[self.topic].result()
                return
            except KafkaException as error:
                check(time.monotonic() < end, f"the topic could not be created again: {error}")
                time.sleep(0.05)

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

    def check_order(self, below=None):
        """Of each number, each event was handled for the first time right after the one before it; of the events whose index
        is below a limit, if there is one."""
        next_of, broken = {}, []
        for place, line in enumerate(self.lines):
            if below is not None and line.index >= below:
                continue
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

    def repeats(self, outages=()):
        """How many events were handled again, by what became of the process that had handled them: `killed`, `ended`
        (by SIGTERM), `alive`; and how long before a kill they had been handled, at most, in milliseconds. Those that had been
        handled in an outage of Kafka, when nothing can be committed, are counted as `outage`."""
        by_pid = {probe.process.pid: probe for probe in self.all}
        kinds, last, oldest = Counter(), {}, 0
        for line in self.lines:
            earlier = last.get(line.index)
            last[line.index] = line
            if earlier is None:
                continue
            probe = by_pid[earlier.pid]
            if any(begin <= earlier.at <= end for begin, end in outages):
                kinds["outage"] += 1
            elif probe.killed and line.pid != earlier.pid:
                kinds["killed"] += 1
                oldest = max(oldest, probe.killed - earlier.at)
            else:
                kinds["ended" if probe.ended and line.at >= probe.ended else "alive"] += 1
        return kinds, oldest
