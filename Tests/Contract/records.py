"""What is in Kafka: read with confluent-kafka in the background, with kcat on demand, and counted by offsets."""

import json
import subprocess
import threading
import time
from dataclasses import dataclass, field

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, KafkaError, KafkaException, TopicPartition

from report import Failed, check

SUFFIXES = ["delivery-status", "reply", "short-code", "url-preview", "url-click", "test", "quarantine"]


TRANSIENT = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART,
             KafkaError._UNKNOWN_PARTITION}


@dataclass
class Record:
    suffix: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: list
    created: bool  # whether the timestamp's type is CreateTime
    timestamp: int  # ms
    arrived: float = field(default_factory=time.monotonic)

    @property
    def json(self):
        return json.loads(self.value.decode("utf-8"))

    def header(self, name):
        values = [value for key, value in self.headers if key == name]
        if len(values) > 1:
            raise Failed(f"header {name} occurs {len(values)} times")
        return values[0].decode("utf-8") if values else None

    def event(self):
        """The CloudEvent as Python's own decoder sees it."""
        message = KafkaMessage(headers=dict(self.headers), key=self.key, value=self.value)
        return from_binary(message, JSONFormat())

    def __repr__(self):
        return f"<{self.suffix}[{self.partition}]@{self.offset} key={self.key!r} {self.value[:400]!r}>"


class Topics:
    """Every record of one prefix, from where the run began."""

    def __init__(self, bootstrap, prefix):
        self.bootstrap, self.prefix = bootstrap, prefix
        common = {"bootstrap.servers": bootstrap, "group.id": "contract-checks", "enable.auto.commit": False}
        self.consumer = Consumer(
            {**common, "fetch.wait.max.ms": 50, "auto.offset.reset": "earliest", "broker.address.family": "v4"})
        self.counter = Consumer({**common, "broker.address.family": "v4"})
        self.partitions = []
        self.records = []
        self.condition = threading.Condition()
        self.error = None
        self.ending = False

    def start(self):
        # A topic that was just made takes a moment until every client's metadata has it.
        deadline = time.monotonic() + 5
        while True:
            metadata = self.counter.list_topics(timeout=15)
            missing = [s for s in SUFFIXES if not getattr(metadata.topics.get(self.name(s)), "partitions", None)]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        check(not missing, f"topics missing: {missing}")
        for suffix in SUFFIXES:
            for partition in metadata.topics[self.name(suffix)].partitions:
                self.partitions.append((suffix, partition))
        self.base = {pair: self._high(pair) for pair in self.partitions}
        self.consumer.assign([TopicPartition(self.name(s), p, self.base[s, p]) for s, p in self.partitions])
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def name(self, suffix):
        return f"{self.prefix}.{suffix}"

    def _high(self, pair):
        # A partition that was just made may have no leader yet.
        for attempt in range(50):
            try:
                return self.counter.get_watermark_offsets(TopicPartition(self.name(pair[0]), pair[1]), timeout=10)[1]
            except KafkaException as error:
                if attempt == 49 or not error.args[0].retriable() and error.args[0].code() not in TRANSIENT:
                    raise
                time.sleep(0.1)

    def _read(self):
        while not self.ending:
            for message in self.consumer.consume(500, timeout=0.05):
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        self.error = str(message.error())
                    continue
                kind, timestamp = message.timestamp()
                record = Record(
                    message.topic()[len(self.prefix) + 1:], message.partition(), message.offset(), message.key(),
                    message.value(), message.headers() or [], kind == TIMESTAMP_CREATE_TIME, timestamp)
                with self.condition:
                    self.records.append(record)
                    self.condition.notify_all()

    def count(self):
        """How many records the brokers have of this run, by offsets: what a reader has seen so far plays no part."""
        return sum(self._high(pair) - self.base[pair] for pair in self.partitions)

    def mark(self):
        """Where the next record will stand, all there are so far having been read."""
        self.settle()
        with self.condition:
            return len(self.records)

    def after(self, mark, count=1, within=3.0):
        """The records read since the mark, once there are `count` of them."""
        deadline = time.monotonic() + within
        with self.condition:
            while len(self.records) < mark + count:
                left = deadline - time.monotonic()
                if left <= 0:
                    got = self.records[mark:]
                    raise Failed(f"{len(got)} of {count} records within {within} s: {got} {self.error or ''}")
                self.condition.wait(left)
            return list(self.records[mark:])

    def one(self, mark, within=3.0):
        """The one record since the mark; the brokers must not have another."""
        records = self.after(mark, 1, within)
        check(len(records) == 1, f"{len(records)} records instead of one: {records}")
        return records[0]

    def settle(self, within=10.0):
        """Waits until every record the brokers have was read."""
        count = self.count()
        self.after(0, count, within)
        return count

    def kcat(self, suffix):
        """The topic from the run's beginning as kcat sees it."""
        lines = []
        for partition in [p for s, p in self.partitions if s == suffix]:
            done = subprocess.run(
                ["kcat", "-C", "-b", self.bootstrap, "-t", self.name(suffix), "-p", str(partition), "-o",
                 str(self.base[suffix, partition]), "-e", "-q", "-J", "-X", "broker.address.family=v4"],
                capture_output=True, timeout=60)
            check(done.returncode == 0, f"kcat ended with {done.returncode}: {done.stderr[:300]!r}")
            lines += [json.loads(line) for line in done.stdout.decode("utf-8").split("\n") if line]
        return lines

    def close(self):
        self.ending = True
        if hasattr(self, "thread"):
            self.thread.join(5)
        self.consumer.close()
        self.counter.close()
