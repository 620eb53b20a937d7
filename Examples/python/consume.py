"""Reacts to the bridge's events from Python: prints delivery statuses, replies and opt-outs, each event once.

    pip install confluent-kafka
    KAFKA_BOOTSTRAP_SERVERS=localhost:9092 GROUP=desk python consume.py

TOPIC_PREFIX is what stands before the dot in the topics' names; SEEN a file that remembers the ids of handled events;
IDLE ends the program when nothing has come for so many seconds.
"""

import json
import os
import signal
import sqlite3
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException

prefix = os.environ.get("TOPIC_PREFIX", "smsportal")
idle = float(os.environ.get("IDLE", "inf"))
seen = sqlite3.connect(os.environ.get("SEEN", "seen.sqlite"), isolation_level=None)
seen.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")


def hidden(msisdn):
    return f"…{msisdn[-3:]}" if msisdn else "unknown"


def handle(event):
    """What the service does with an event. Keys that it does not know are skipped: a later bridge may add some."""
    if event["type"] == "delivery-status":
        print("status", event["state"], hidden(event.get("msisdn")), event["id"], flush=True)
    elif event.get("optOut"):
        print("opt-out", hidden(event.get("msisdn")), event["id"], flush=True)
    elif event["type"] == "reply":
        print("reply", hidden(event.get("msisdn")), event["id"], flush=True)


def read(record):
    """The event of a record; None for what is none. One that cannot be read is told and passed: it would stop the program
    at every start."""
    headers = dict(record.headers() or [])
    if record.value() is None or not (headers.get("ce_type") or b"").endswith(b".v1"):
        return None
    try:
        event = json.loads(record.value())
        return event if event["id"] and event["type"] else None
    except (ValueError, KeyError, TypeError):
        print(f"no event: {record.topic()}[{record.partition()}]@{record.offset()}", file=sys.stderr)
        return None


def main():
    consumer = Consumer({
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "group.id": os.environ.get("GROUP", "desk-python"),
        "auto.offset.reset": "earliest",
        # Committed by hand, once an event is handled: what a crash leaves unhandled comes again.
        "enable.auto.commit": False,
        # A member that dies is missed after so long, and its partitions go to the others.
        "session.timeout.ms": 10_000,
    })
    consumer.subscribe([f"{prefix}.delivery-status", f"{prefix}.reply", f"{prefix}.short-code"])
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    last = time.monotonic()
    try:
        while not stopping and time.monotonic() - last < idle:
            record = consumer.poll(0.5)
            if record is None:
                continue
            if record.error():
                if record.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    print(record.error(), file=sys.stderr)
                continue
            last = time.monotonic()
            event = read(record)
            if event and not seen.execute("SELECT 1 FROM seen WHERE id = ?", [event["id"]]).fetchone():
                handle(event)
                # Handled first, remembered then: a crash in between repeats the event, and never loses it.
                seen.execute("INSERT INTO seen VALUES (?)", [event["id"]])
            try:
                consumer.commit(record, asynchronous=False)
            except KafkaException as error:
                # The partition has gone to another member, or Kafka is away: the event comes again, and is known then.
                print(error, file=sys.stderr)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
