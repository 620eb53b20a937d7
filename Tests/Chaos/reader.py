"""What is in Kafka: every record of one prefix, read from the beginning by confluent-kafka."""

import contextlib
import re
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

REFERENCE = re.compile(rb'"reference":"(c[0-9a-f]{8}-\d+-\d+)"')
RECEIVED = re.compile(rb'"receivedAt":"([^"]+)"')


@dataclass(slots=True)
class Copy:
    """The first copy of an event."""

    topic: str  # without the prefix
    partition: int
    offset: int
    key: bytes | None
    id: str
    order: int  # the place among all that were read; within a partition, as Kafka has it
    arrived: float
    timestamp: int  # of the record, in milliseconds
    received: str  # receivedAt of the event
    refused_by: str | None  # in the quarantine: the topic that it was meant for


class Reader:
    """Reads on a thread of its own until closed."""

    def __init__(self, cluster, prefix, environment=None):
        self.cluster, self.prefix = cluster, prefix
        self.consumer = Consumer({
            "bootstrap.servers": cluster.bootstrap, "group.id": f"{prefix}-chaos", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "broker.address.family": "v4", "fetch.wait.max.ms": 50,
            "reconnect.backoff.max.ms": 500, "log_level": 0, "socket.timeout.ms": 10000,
            "fetch.message.max.bytes": 4 << 20, "queued.max.messages.kbytes": 65536, **(environment or {})})
        self.first = {}  # reference → Copy
        self.ids = {}  # id → reference
        self.copies = {}  # reference → number of copies beyond the first
        self.problems = []  # what no record may be
        self.quarantined = []
        self.read = 0
        self.known = {}  # topic → partitions
        self.positions = {}
        self.seen = {}  # topic and partition → offset → what was there
        self.lock = threading.Lock()
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _discover(self):
        """Topics may be made, or made again, after we began."""
        found = {name: sorted(topic.partitions) for name, topic in self.consumer.list_topics(timeout=5).topics.items()
                 if name.startswith(self.prefix + ".") and topic.partitions}
        with self.lock:
            if found == self.known:
                return
            # Of a topic that is gone, nothing is left to read; should it come back, it begins anew.
            for gone in set(self.known) - set(found):
                self.positions = {pair: offset for pair, offset in self.positions.items() if pair[0] != gone}
            self.known = found
            self.consumer.assign([TopicPartition(name, p, self.positions.get((name, p), 0))
                                  for name, ps in found.items() for p in ps])

    def reread(self, topic):
        """A topic was deleted and made again: from its beginning."""
        with self.lock:
            self.positions = {pair: offset for pair, offset in self.positions.items() if pair[0] != topic}
            self.known = {}

    def _run(self):
        looked = 0.0
        while not self.ending:
            if time.monotonic() - looked > 1:
                try:
                    self._discover()
                except KafkaException:
                    pass  # Kafka is away: what is assigned stays so
                looked = time.monotonic()
            try:
                messages = self.consumer.consume(2000, timeout=0.05)
            except KafkaException:
                continue
            with self.lock:
                for message in messages:
                    if not message.error():
                        self._take(message)

    def _take(self, message):
        pair = (message.topic(), message.partition())
        value, topic = message.value(), message.topic()[len(self.prefix) + 1:]
        found = REFERENCE.search(value)
        headers = message.headers() or []
        ids = [v for k, v in headers if k == "ce_id"]
        seen, content = self.seen.setdefault(pair, {}), found.group(1) if found else value
        if seen.get(message.offset()) == content:
            return  # read before the assignment changed
        if message.offset() in seen:
            seen.clear()  # a new log: the topic was deleted and made again
        seen[message.offset()] = content
        self.positions[pair] = message.offset() + 1
        self.read += 1
        if not found or len(ids) != 1:
            if topic == "quarantine":
                self.quarantined.append(value[:300])
            self.problems.append(f"{topic}[{message.partition()}]@{message.offset()}: no event of ours: {value[:120]!r}")
            return
        reference, id = found.group(1).decode(), ids[0].decode()
        key, number = message.key(), reference.split("-")[1]
        if key is not None and key != f"27001{int(number):06d}".encode():
            self.problems.append(f"{reference} has another number for a key")
        refused_by = next((v.decode()[len(self.prefix) + 1:] for k, v in headers if k == "smsbridge-topic"), None)
        first = self.first.get(reference)
        if first is not None:
            self.copies[reference] = self.copies.get(reference, 0) + 1
            if first.id != id:
                self.problems.append(f"{reference} has the ids {first.id} and {id}")
            if first.topic != topic or first.partition != message.partition():
                self.problems.append(f"{reference} is in {first.topic}[{first.partition}] and {topic}[{message.partition()}]")
            return
        other = self.ids.setdefault(id, reference)
        if other != reference:
            self.problems.append(f"{reference} and {other} have one id, {id}")
        received = RECEIVED.search(value)
        self.first[reference] = Copy(topic, message.partition(), message.offset(), key, id, self.read, time.monotonic(),
                                     message.timestamp()[1], received.group(1).decode() if received else "", refused_by)

    def missing(self, references):
        with self.lock:
            return [r for r in references if r not in self.first]

    def settle(self, within):
        """Waits until every record was read, by the brokers' own counting; one that is closed has read what it was to."""
        if self.ending:
            return True
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                if self.read >= self.cluster.count(self.prefix):
                    return True
            except (KafkaException, OSError):
                pass
            time.sleep(0.1)
        return False

    def position(self, reference):
        return self.first[reference].order if reference in self.first else None

    def close(self):
        if self.ending:
            return
        self.ending = True
        self.thread.join(15)
        if not self.thread.is_alive():
            self.consumer.close()


class Readers:
    """The records of several clusters, as if one after the other were one."""

    def __init__(self, readers):
        self.readers = readers

    def missing(self, references):
        """What is in none of them."""
        for reader in self.readers:
            references = reader.missing(references)
        return references

    def settle(self, within):
        return all(reader.settle(within) for reader in self.readers)

    @property
    def lock(self):
        locks = contextlib.ExitStack()
        for reader in self.readers:
            locks.enter_context(reader.lock)
        return locks

    @property
    def problems(self):
        return [text for reader in self.readers for text in reader.problems]

    @property
    def first(self):
        found = {}
        for reader in reversed(self.readers):
            found.update(reader.first)
        return found

    @property
    def copies(self):
        """Copies beyond the first, the first of another cluster included."""
        count, seen = {}, set()
        for reader in self.readers:
            for reference in reader.first:
                more = reader.copies.get(reference, 0) + (reference in seen)
                if more:
                    count[reference] = count.get(reference, 0) + more
                seen.add(reference)
        return count

    def position(self, reference):
        """Where the first copy is, in the order of clusters and of reading."""
        for index, reader in enumerate(self.readers):
            if reference in reader.first:
                return index, reader.first[reference].order
        return None

    def close(self):
        for reader in self.readers:
            reader.close()
