"""What clusters do to replays: retention, transactions, expired offsets, new partitions, wrong clocks, hung brokers.

Each function is one scenario on topics of its own. Where a command cannot be complete it has to say so and must not exit 0.
"""

import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.request

import jsonschema
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

sys.path += [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("Contract", "Chaos")]
from bridge import Bridge  # noqa: E402
from cluster import Cluster  # noqa: E402

DAY = 86_400_000
HOUR = 3_600_000
DONE, FAILED, USAGE, EARLY, BEHIND_TRANSACTION, DELETED = 0, 1, 2, 4, 5, 6


def now():
    return int(time.time() * 1_000)


def utc(milliseconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds // 1_000))


def until(condition, limit=30):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class Area:
    """Topics under a prefix of their own, and the commands that use them."""

    def __init__(self, stand, name, bootstrap=None):
        self.stand, self.bootstrap = stand, bootstrap or stand.options.bootstrap
        self.prefix = f"{name}-{secrets.token_hex(4)}"
        self.client = {"bootstrap.servers": self.bootstrap, "broker.address.family": "v4", "log_level": 0}
        self.admin = AdminClient(self.client) if bootstrap else stand.admin
        self.payload = json.dumps(stand.example["payload"], separators=(",", ":")).encode()
        self.folder = stand.folder

    def topic(self, name):
        return f"{self.prefix}.{name}"

    def create(self, name, partitions=1, **configuration):
        settings = {key.replace("_", "."): str(value) for key, value in configuration.items()}
        self.admin.create_topics([NewTopic(self.topic(name), partitions, 1, config=settings)])[self.topic(name)].result()
        until(lambda: len(self.admin.list_topics(self.topic(name), 10).topics[self.topic(name)].partitions) == partitions)

    def configure(self, name, **configuration):
        settings = {key.replace("_", "."): str(value) for key, value in configuration.items()}
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic(name), set_config=settings)
        self.admin.alter_configs([resource])[resource].result()

    def send(self, name, ids, at=None, partition=-1, key=b"27820000001", value=None, producer=None):
        """A record for each id; the time is the same for all, or given by a function."""
        producer = producer or Producer({**self.client, "linger.ms": 5})
        failures = []
        for number in ids:
            time_of = at(number) if callable(at) else at or now()
            producer.produce(self.topic(name), value or self.payload, key, partition=partition, timestamp=time_of,
                             headers=[("ce_id", b"%d" % number)],
                             on_delivery=lambda error, _: failures.append(error) if error else None)
            producer.poll(0)
        left = producer.flush(60)
        if failures or left:
            raise OSError(f"the topic could not be filled: {failures[:1]}, {left} left")

    def read(self, name, isolation="read_committed"):
        """All records of a topic, by a reader of its own."""
        consumer = Consumer({**self.client, "group.id": "judge", "enable.auto.commit": False, "isolation.level": isolation,
                             "enable.partition.eof": True})
        partitions = self.admin.list_topics(self.topic(name), 10).topics[self.topic(name)].partitions
        consumer.assign([TopicPartition(self.topic(name), partition, 0) for partition in partitions])
        records, open_ends, end = [], set(partitions), time.monotonic() + 60
        while open_ends and time.monotonic() < end:
            record = consumer.poll(1)
            if record is None:
                continue
            if record.error():
                open_ends.discard(record.partition())
            else:
                records.append(record)
        consumer.close()
        return records

    def ids(self, name):
        return sorted(int(dict(record.headers())["ce_id"]) for record in self.read(name))

    def words(self, command, *arguments):
        return [str(self.stand.options.binary), *command.split(), "--kafka-bootstrap-servers", self.bootstrap,
                *(["--topics-prefix", self.prefix] if command.split()[0] != "dlt" else []), *arguments]

    def run(self, command, *arguments, limit=90, **more):
        return subprocess.run(self.words(command, *arguments), capture_output=True, text=True, timeout=limit, **more)

    def replay(self, *arguments, **more):
        return self.run("replay", *arguments, **more)

    def probe(self, name, *options, limit=90, ledger=None):
        """A replay of the library through ConsumerProbe: what it printed, how it ended, and what it has handled."""
        ledger = ledger or self.folder / f"{self.prefix}-{name}.ledger"
        program = self.stand.options.binary.parent / "SMSBridgeConsumerProbe"
        done = subprocess.run([program, self.bootstrap, f"{self.prefix}-crm", self.prefix, ledger, "--replay", name, *options],
                              capture_output=True, text=True, timeout=limit)
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        return done, [tuple(line.split()[1:3]) for line in lines]

    def commit(self, group, places):
        consumer = Consumer({**self.client, "group.id": group})
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()

    def committed(self, group, name, partitions):
        consumer = Consumer({**self.client, "group.id": group})
        found = consumer.committed([TopicPartition(self.topic(name), partition) for partition in range(partitions)], 10)
        consumer.close()
        return found

    def forget(self, group, name, partitions, lost):
        """As `offsets.retention.minutes` does: the committed offsets of some partitions are gone, those of others stay."""
        places = [place for place in self.committed(group, name, partitions) if place.offset >= 0]
        self.admin.delete_consumer_groups([group])[group].result()
        # This client reads one byte beyond the metadata, and commits one, a NUL.
        kept = {place.partition: re.match(r"2( \S+){5} \d", place.metadata).group() for place in places}
        self.commit(group, [TopicPartition(place.topic, place.partition, place.offset, kept[place.partition]) for place in places
                            if place.partition not in lost])

    def end(self):
        names = [name for name in self.admin.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for future in self.admin.delete_topics(names).values():
            future.exception()


def said(done, *words):
    return all(word in done.stderr for word in words)


def shown(done):
    return f"{done.returncode} {done.stdout[-400:]} {done.stderr[-800:]}"


def result(done):
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {}


# A. Old timestamps into a topic that deletes by time.
def retention(stand, check):
    area = Area(stand, "retention")
    area.create("reply", retention_ms=-1)
    old = now() - 10 * DAY
    area.send("reply", range(200), at=lambda number: old + number)
    area.create("week", retention_ms=7 * DAY)
    arguments = ("--from", "15d", "--type", "reply", "--to-topic", area.topic("week"))
    for name, window in (("a time", arguments), ("earliest", ("--from", "earliest", *arguments[2:]))):
        done = area.replay(*window)
        check(done.returncode == FAILED and said(done, "retention.ms", "7d", "--timestamp now", "--accept-loss"),
              f"A: events older than the target keeps, from {name}, are refused with the fix", shown(done))
    check(not area.read("week"), "A: and nothing was sent")
    check(area.replay(*arguments, "--dry-run").returncode == FAILED, "A: a dry run says the same")
    area.create("compacted", cleanup_policy="compact")
    done = area.replay(*arguments[:-1], area.topic("compacted"))
    check(done.returncode == FAILED and said(done, "cleanup.policy", "compact"), "A: a compacted target is refused", shown(done))
    area.create("strict", retention_ms=-1, message_timestamp_before_max_ms=DAY)
    done = area.replay(*arguments[:-1], area.topic("strict"))
    check(done.returncode == FAILED and said(done, "message.timestamp.before.max.ms", "--timestamp now"),
          "A: a target whose broker rejects old timestamps is refused", shown(done))
    done = area.replay(*arguments, "--accept-loss")
    check(done.returncode == DONE and len(area.read("week")) == 200, "A: --accept-loss sends them all the same", shown(done))
    area.create("fresh", retention_ms=7 * DAY)
    done = area.replay(*arguments[:-1], area.topic("fresh"), "--timestamp", "now")
    records = area.read("fresh")
    check(done.returncode == DONE and len(records) == 200
          and all(abs(record.timestamp()[1] - now()) < HOUR for record in records)
          and sorted(int(dict(record.headers())["replay-timestamp"]) for record in records) == [old + n for n in range(200)],
          "A: --timestamp now sends with today's time, and the first one in a header", shown(done))
    # In the window, but published out of order: only reading finds it.
    area.create("short-code")
    area.send("short-code", range(10), at=now() - DAY)
    area.send("short-code", range(10, 20), at=old)
    area.create("target", retention_ms=7 * DAY)
    done = area.replay("--from", "earliest", "--type", "short-code", "--to-topic", area.topic("target"))
    check(done.returncode == FAILED and said(done, "retention.ms") and len(area.read("target")) <= 10,
          "A: one that turns up late is found before it is sent", shown(done))
    area.end()


def retention_of_redecoded(stand, check):
    """The same for callbacks of the quarantine."""
    area = Area(stand, "redecode")
    for name in ("quarantine", "reply"):
        area.create(name, retention_ms=-1)
    old = now() - 10 * DAY
    value = json.dumps({
        "id": "0" * 32, "idBasis": "reception", "type": "unrecognised", "account": "default", "receivedAt":
        utc(old)[:-1] + ".000Z", "reason": "missing-fields", "raw": {"method": "POST", "route": "/webhooks/reply", "contentType":
        "application/json", "body": json.dumps({"Rufnummer": "27821234567", "Inhalt": "ja"})}}, separators=(",", ":")).encode()
    for number in range(3):
        area.send("quarantine", [number], at=old, key=None, value=value.replace(b"0" * 32, b"%032x" % number))
    area.configure("reply", **{"retention_ms": 7 * DAY})
    fields = ("--events-reply-fields", "Rufnummer=msisdn", "--events-reply-fields", "Inhalt=text")
    done = area.run("quarantine redecode", *fields)
    check(done.returncode == FAILED and said(done, "missing topics", area.topic("short-code")),
          "A: redecode may write to every topic, and says beforehand which ones are missing", shown(done))
    for name in ("delivery-status", "short-code", "url-preview", "url-click", "test"):
        area.create(name)
    done = area.run("quarantine redecode", *fields)
    check(done.returncode == EARLY and said(done, "retention.ms", "--timestamp now") and not area.read("reply"),
          "A: redecode leaves what its topic would delete, and says so", shown(done))
    check(len(area.run("quarantine list").stdout.splitlines()) == 3, "A: and it stays in the quarantine")
    done = area.run("quarantine redecode", *fields, "--timestamp", "now")
    records = area.read("reply")
    check(done.returncode == DONE and len(records) == 3 and all(json.loads(record.value())["receivedAt"].startswith(utc(old)[:-1])
                                                               for record in records),
          "A: redecode --timestamp now publishes them, receivedAt as it was", shown(done))
    area.end()


# B. A commit without a deadline.
def suspended(stand, check):
    if not os.environ.get("KAFKA_START"):
        print("SKIPPED 1: B: KAFKA_START is not set: a script that starts a broker", flush=True)
        return
    cluster = Cluster(os.environ["KAFKA_START"])
    try:
        area = Area(stand, "suspended", cluster.bootstrap)
        area.create("reply", 3)
        area.create("delivery-status", 3)
        area.create("target", 3)
        for name in ("reply", "delivery-status"):
            area.send(name, range(20_000), at=now() - HOUR)
        program = stand.options.binary.parent / "SMSBridgeConsumerProbe"
        runs = {
            "replay to a topic": area.words("replay", "--from", "2h", "--type", "reply", "--name", "topic", "--rate", "500",
                                            "--to-topic", area.topic("target")),
            "replay to a file": area.words("replay", "--from", "2h", "--type", "reply", "--name", "file", "--rate", "500",
                                           "--to-file", str(area.folder / "suspended.ndjson")),
            "Replay of the library": [str(program), area.bootstrap, f"{area.prefix}-crm", area.prefix,
                                      str(area.folder / "suspended.ledger"), "--replay", "suspended", "--work", "5",
                                      "--shutdown-timeout", "3000"],
        }
        logs = {name: open(area.folder / f"suspended-{index}.err", "w+b") for index, name in enumerate(runs)}
        processes = {name: subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=logs[name]) for name, words in runs.items()}
        time.sleep(6)
        cluster.pause()
        time.sleep(2)
        ends = {}
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        while len(ends) < len(runs) and time.monotonic() - began < 45:
            for name, process in processes.items():
                if name not in ends and process.poll() is not None:
                    ends[name] = time.monotonic() - began
            time.sleep(0.1)
        for name, process in processes.items():
            logs[name].seek(0)
            text = logs[name].read().decode()[-400:]
            took = ends.get(name)
            print(f"      Kafka suspended, SIGTERM: {name} ended after {took and round(took, 1)} s", flush=True)
            check(took is not None and took < (8 if "library" in name else 15),
                  f"B: Kafka suspended, {name} ends in time after SIGTERM", f"{took} s: {text}")
            if took is None:
                process.kill()
            elif "library" not in name:
                check(process.returncode == EARLY, f"B: {name} says that it ended early", f"{process.returncode} {text}")
        # Without SIGTERM it goes on once Kafka does.
        cluster.resume()
        done = area.replay("--from", "2h", "--type", "reply", "--name", "topic", "--to-topic", area.topic("target"))
        check(done.returncode == DONE and set(area.ids("target")) == set(range(20_000)), "B: the same command goes on", shown(done))
    finally:
        cluster.end()


# C. A position that was deleted, or has expired.
def positions(stand, check):
    area = Area(stand, "positions")
    area.create("delivery-status", 3)
    for partition in range(3):
        area.send("delivery-status", range(partition * 100, partition * 100 + 5), partition=partition)
    # The command.
    file = area.folder / f"{area.prefix}.ndjson"
    arguments = ("--from", "earliest", "--type", "delivery-status", "--name", area.prefix, "--to-file", str(file))
    process = subprocess.Popen(area.words("replay", *arguments, "--rate", "3"), stderr=subprocess.DEVNULL)
    time.sleep(2.5)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    group = f"smsbridge-replay-{area.prefix}"
    area.forget(group, "delivery-status", 3, {1})
    done = area.replay(*arguments)
    check(done.returncode == FAILED and said(done, "offsets.retention.minutes", "delivery-status[1]"),
          "C: a position that has expired is reported", shown(done))
    # The library: partitions whose events are not done yet never moved, and so were never committed again.
    done, handled = area.probe("first", "--work", "400", "--concurrency", "1", "--stop-after", "3")
    group = f"{area.prefix}-crm-replay-first"
    places = area.committed(group, "delivery-status", 3)
    check(all(place.offset >= 0 for place in places), "C: the library commits every position", [p.offset for p in places])
    area.forget(group, "delivery-status", 3, {2})
    done, handled = area.probe("first")
    check(done.returncode != 0 and "offsets.retention.minutes" in done.stderr + done.stdout,
          "C: the library reports a position that has expired", f"{done.returncode} {done.stderr[-300:]} {len(handled)}")
    # Deleted by retention.
    done, _ = area.probe("second", "--work", "400", "--concurrency", "1", "--stop-after", "2")
    for future in area.admin.delete_records([TopicPartition(area.topic("delivery-status"), p, 3) for p in range(3)]).values():
        future.result()
    ledger = area.folder / f"{area.prefix}-third.ledger"
    done, handled = area.probe("second", ledger=ledger)
    check(done.returncode != 0 and "skip" in (done.stderr + done.stdout).lower(),
          "C: the library says that events were deleted, and how to go on", f"{done.returncode} {done.stderr[-300:]}")
    done, handled = area.probe("second", "--skip-deleted", "yes", ledger=ledger)
    check(done.returncode == 0 and set(handled) >= {(str(p), str(o)) for p in range(3) for o in (3, 4)}
          and re.search(r"[1-9]\d* deleted", done.stdout) is not None,
          "C: with skipsDeleted it goes on under its name, and counts what is gone", f"{handled} {done.stdout[:300]} {done.stderr[-300:]}")
    area.end()


# D. Events behind an open transaction.
def transactions(stand, check):
    area = Area(stand, "transactions")
    area.create("delivery-status", 2)
    area.send("delivery-status", range(10), partition=0)
    area.send("delivery-status", range(100, 105), partition=1)
    producer = Producer({**area.client, "transactional.id": area.prefix, "transaction.timeout.ms": 300_000})
    producer.init_transactions(20)
    producer.begin_transaction()
    for number in range(10, 15):
        producer.produce(area.topic("delivery-status"), area.payload, b"27820000001", partition=0,
                         headers=[("ce_id", b"%d" % number)])
    producer.flush(20)
    area.send("delivery-status", range(15, 20), partition=0)
    window = ("--from", "1h", "--type", "delivery-status")
    done = area.replay(*window, "--dry-run", "--json")
    report = result(done)
    check(done.returncode == BEHIND_TRANSACTION and report.get("complete") is False and report.get("records") == 15,
          "D: what lies behind an open transaction is not complete", shown(done))
    check(said(done, "10 offsets", "delivery-status[0]", "open transaction"), "D: and it says how much, and where", shown(done))
    file = area.folder / f"{area.prefix}.ndjson"
    named = (*window, "--name", area.prefix, "--to-file", str(file))
    done = area.replay(*named)
    check(done.returncode == BEHIND_TRANSACTION, "D: a replay with a name ends so, too", shown(done))
    done, handled = area.probe("again")
    check(len(handled) == 15 and "open transaction" in done.stdout and "complete" not in done.stdout.split("# end")[0].split("\n")[0],
          "D: the library reports it", f"{len(handled)} {done.stdout[:300]}")
    producer.commit_transaction(20)
    done = area.replay(*named)
    found = sorted(int(json.loads(line)["headers"]["ce_id"]) for line in file.read_text().splitlines())
    check(done.returncode == DONE and found == [*range(20), *range(100, 105)], "D: committed, the same command is complete",
          f"{shown(done)} {found}")
    done, handled = area.probe("again")
    check(done.returncode == 0 and len(set(handled)) == 25, "D: and so is the library", f"{len(handled)} {done.stdout[:200]}")
    # Aborted records and markers are no gap.
    producer.begin_transaction()
    for number in range(5):
        producer.produce(area.topic("delivery-status"), area.payload, b"27820000001", partition=1, headers=[("ce_id", b"900")])
    producer.flush(20)
    producer.abort_transaction(20)
    done = area.replay(*window, "--dry-run", "--json")
    check(done.returncode == DONE and result(done).get("records") == 25, "D: an aborted transaction is complete", shown(done))
    area.end()


# E. Time: what people write, and clocks that are wrong.
def times(stand, check):
    area = Area(stand, "times")
    area.create("reply", 1)
    # Tuesday, 2026-11-24 in South Africa is 2026-11-23T22:00Z to 2026-11-24T22:00Z; any day that has passed does here.
    day = (now() // DAY - 2) * DAY
    date = utc(day)[:10]
    area.send("reply", range(48), at=lambda number: day - 12 * HOUR + number * HOUR)
    inside = [number for number in range(48) if day - 2 * HOUR <= day - 12 * HOUR + number * HOUR < day + 22 * HOUR]
    after = utc(day + DAY)[:10]
    for name, window in {
        "an offset": ("--from", f"{date}T00:00:00+02:00", "--to", f"{after}T00:00:00+02:00"),
        "a date in a zone": ("--from", date, "--to", after, "--time-zone", "Africa/Johannesburg"),
        "a date and time in a zone": ("--from", f"{date}T00:00:00", "--to", f"{after}T00:00", "--time-zone", "Africa/Johannesburg"),
        "a date in a zone of fixed offset": ("--from", date, "--to", after, "--time-zone", "+02:00"),
    }.items():
        done = area.replay(*window, "--type", "reply", "--dry-run", "--json")
        check(done.returncode == DONE and result(done).get("records") == len(inside), f"E: {name}", shown(done))
        check(said(done, utc(day - 2 * HOUR), utc(day + 22 * HOUR), *([f"{date}T00:00:00+02:00"] if "--time-zone" in window else [])),
              f"E: {name}: the window is shown in UTC and in local time", shown(done))
    done = area.replay("--from", date, "--to", after, "--type", "reply", "--dry-run", "--json",
                       env={**os.environ, "TZ": "Africa/Johannesburg"})
    check(result(done).get("records") == len(inside), "E: the machine's zone is the default", shown(done))
    done = area.replay("--from", date, "--type", "reply", "--dry-run", "--time-zone", "Africa/Johanesburg")
    check(done.returncode == USAGE and said(done, "Africa/Johanesburg"), "E: a zone that does not exist", shown(done))
    done = area.replay("--from", "1h", "--to", utc(now() + HOUR), "--type", "reply", "--dry-run")
    check(done.returncode == USAGE and said(done, "future"), "E: a window that ends in the future cannot be complete", shown(done))
    # One record of a clock that is six hours ahead.
    area.create("delivery-status", 1)
    begin = now() - 9 * HOUR
    area.send("delivery-status", range(999), at=lambda n: begin + n * 7_000 + (6 * HOUR if n == 100 else 0), partition=0)
    to = utc(begin + 999 * 7_000 + 60_000)
    done = area.replay("--from", utc(begin - 1_000), "--to", to, "--max-lateness", "1h", "--type", "delivery-status", "--dry-run",
                       "--json")
    report = result(done)
    check(done.returncode == DONE and report.get("records") == 998, "E: one record of a wrong clock does not end the reading", shown(done))
    check(said(done, "delivery-status[0]", "ahead"), "E: and it is reported", shown(done))
    # What --max-lateness is for: what follows is not read, and that is report.
    area.create("short-code", 1)
    area.send("short-code", range(200), at=lambda n: begin + n * 1_000, partition=0)
    area.send("short-code", range(200, 5_200), at=lambda n: begin + 3 * HOUR + n * 1_000, partition=0)
    done = area.replay("--from", utc(begin - 1_000), "--to", utc(begin + 600_000), "--max-lateness", "1h", "--type", "short-code",
                       "--dry-run", "--json")
    report = result(done)
    check(done.returncode == DONE and report.get("records") == 200 and report.get("read", 9_999) < 2_000 and report.get("unread", 0) > 3_000,
          "E: --max-lateness ends the reading, and counts what was not read", shown(done))
    area.end()


# F. Numbers.
def keys(stand, check):
    area = Area(stand, "keys")
    area.create("reply", 1)
    area.send("reply", range(5), key=b"27820000001")
    area.send("reply", range(5, 8), key=b"27820000002")
    for text in ("27820000001", "+27820000001", "0027820000001", "+27 82 000-0001"):
        done = area.replay("--from", "earliest", "--type", "reply", "--key", text, "--dry-run", "--json")
        check(done.returncode == DONE and result(done).get("records") == 5, f"F: {text} is the number that the bridge writes", shown(done))
    for text in ("0820000001", "peter", "123"):
        done = area.replay("--from", "earliest", "--type", "reply", "--key", text, "--dry-run", "--json")
        check(done.returncode == USAGE and said(done, "--key"), f"F: {text} is refused", shown(done))
    check("0820000001" not in done.stderr, "F: without the number in the message")
    done = area.replay("--from", "earliest", "--type", "reply", "--key", "27829999999", "--dry-run")
    check(done.returncode == DONE and said(done, "0 of 8"), "F: a number without events: matched of read", shown(done))
    area.end()


# G. Partitions that appear.
def partitions(stand, check):
    area = Area(stand, "partitions")
    area.create("reply", 1)
    area.send("reply", range(20), partition=0)
    tail = subprocess.Popen(area.words("tail", "--type", "reply", "--type", "short-code", "--from-beginning", "--show-content",
                                       "--json"), stdout=open(area.folder / "tail.out", "w+b"), stderr=subprocess.PIPE)
    try:
        lines = lambda: (area.folder / "tail.out").read_text().splitlines()  # noqa: E731
        check(until(lambda: len(lines()) == 20), "G: tail reads what is there", len(lines()))
        area.admin.create_partitions([NewPartitions(area.topic("reply"), 3)])[area.topic("reply")].result()
        time.sleep(1)
        area.send("reply", range(20, 40), partition=1)
        area.send("reply", range(40, 60), partition=2)
        check(until(lambda: len(lines()) == 60, 20), "G: tail reads partitions that are added", f"{len(lines())} of 60 lines")
        area.create("short-code", 1)
        area.send("short-code", range(60, 80), partition=0)
        check(until(lambda: len(lines()) == 80, 20), "G: and topics that are made", f"{len(lines())} of 80 lines")
        check(sorted(int(json.loads(line)["headers"]["ce_id"]) for line in lines()) == list(range(80)), "G: each record once")
    finally:
        tail.send_signal(signal.SIGINT)
        tail.wait(10)
    check(tail.returncode == 0, "G: Ctrl-C ends tail", tail.returncode)
    area.end()


# H. Groups of the new protocol.
def new_groups(stand, check):
    area = Area(stand, "groups")
    area.create("reply", 2)
    for partition in range(2):
        area.send("reply", range(partition * 20, partition * 20 + 20), at=now() - HOUR, partition=partition)
    group = f"{area.prefix}-crm"
    member = Consumer({**area.client, "group.id": group, "group.protocol": "consumer", "auto.offset.reset": "earliest",
                       "enable.auto.commit": False})
    member.subscribe([area.topic("reply")])
    read = []
    until(lambda: read.extend(member.consume(100, 0.5)) or len(read) >= 40)
    member.commit(asynchronous=False)
    arguments = ("--from", "2h", "--type", "reply", "--to-group", group)
    before = [place.offset for place in area.committed(group, "reply", 2)]
    for name, more in (("shown", ()), ("executed", ("--execute",))):
        done = area.replay(*arguments, *more)
        check(said(done, "members") or said(done, "is in use"), f"H: a group of the new protocol is known to be in use, {name}", shown(done))
    check(done.returncode == FAILED and said(done, "nothing was changed") and "Unknown member" not in done.stderr,
          "H: it is not rewound, and the message says why", shown(done))
    check([place.offset for place in area.committed(group, "reply", 2)] == before, "H: its offsets stand")
    member.close()
    time.sleep(1)
    done = area.replay(*arguments, "--execute")
    check(done.returncode == DONE and [place.offset for place in area.committed(group, "reply", 2)] == [0, 0],
          "H: once stopped it is rewound", shown(done))
    # K. A name that does not exist.
    done = area.replay("--from", "2h", "--type", "reply", "--to-group", f"{group}-typo", "--execute")
    check(done.returncode == FAILED and said(done, "no committed offset") and "begins there" not in done.stderr
          and "shown only" not in done.stderr, "K: a wrong group name does not contradict itself", shown(done))
    area.end()


# I. Metrics of finished replays.
def metrics(stand, check):
    area = Area(stand, "metrics")
    area.create("delivery-status", 1)
    area.send("delivery-status", range(10))
    done, handled = area.probe("finished")
    left = [line for line in done.stdout.splitlines() if "-replay-finished" in line and not line.startswith("#")]
    check(done.returncode == 0 and len(handled) == 10 and not left, "I: a finished replay leaves no metrics", f"{len(left)} lines")
    area.end()


# J. One format of files.
def files(stand, check):
    area = Area(stand, "files")
    for name in ("reply", "delivery-status", "quarantine", "back", "again"):
        area.create(name, 1)
    spool = area.folder / f"{area.prefix}-spool"
    environment = {"SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true"}
    bridge = Bridge.start([str(stand.options.binary)], "127.0.0.1:1", area.prefix, str(area.folder), "files", environment,
                          spool=str(spool))
    try:
        subprocess.run([str(stand.options.binary), "simulate", "--url", bridge.url, "--count", "60", "--rate", "0", "--types",
                        "reply,delivery-status", "--malformed", "0.1"], check=True, capture_output=True, timeout=60)
    finally:
        bridge.process.kill()
        bridge.process.wait(10)
    rows = area.folder / f"{area.prefix}-rows.ndjson"
    done = subprocess.run(
        [str(stand.options.binary), "spool", "export", "--path", str(spool), "--topics-prefix", area.prefix, "--to", str(rows)],
        capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    check(done.returncode == 0 and len(lines) == 60 and all(isinstance(line["value"], dict) for line in lines),
          "J: spool export writes values as replay does", f"{shown(done)} {lines[:1]}")
    done = area.replay("--from-file", str(rows), "--to-topic", area.topic("back"))
    back = area.read("back")
    ids = sorted(line["headers"]["ce_id"] for line in lines)
    check(done.returncode == 0 and sorted(dict(r.headers())["ce_id"].decode() for r in back) == ids,
          "J: replay --from-file reads what spool export has written", shown(done))
    target = area.folder / f"{area.prefix}-second"
    done = subprocess.run([str(stand.options.binary), "spool", "import", str(rows), "--path", str(target), "--topics-prefix",
                           area.prefix, "--spool-any-file-system", "--execute"], capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, "J: spool import", shown(done))
    done = subprocess.run([str(stand.options.binary), "spool", "export", "--path", str(target), "--topics-prefix", area.prefix],
                          capture_output=True, text=True, timeout=60)
    check(done.stdout == rows.read_text(), "J: what was imported is exported again, byte for byte", done.stderr)
    # The other way round: an archive of Kafka into a spool, and from there into Kafka.
    archive = area.folder / f"{area.prefix}-archive.ndjson"
    drained = subprocess.run([str(stand.options.binary), "spool", "drain", "--path", str(target), "--topics-prefix", area.prefix,
                              "--kafka-bootstrap-servers", area.bootstrap], capture_output=True, text=True, timeout=60)
    check(drained.returncode == 0 and '{"' not in drained.stderr, "K: spool drain prints no JSON log lines", shown(drained))
    done = area.replay("--from", "earliest", "--type", "reply", "--type", "delivery-status", "--type", "quarantine", "--to-file",
                       str(archive))
    check(done.returncode == 0 and len(archive.read_text().splitlines()) == 60, "J: an archive of all", shown(done))
    third = area.folder / f"{area.prefix}-third"
    done = subprocess.run([str(stand.options.binary), "spool", "import", str(archive), "--path", str(third), "--topics-prefix",
                           area.prefix, "--spool-any-file-system", "--execute"], capture_output=True, text=True, timeout=60)
    exported = subprocess.run([str(stand.options.binary), "spool", "export", "--path", str(third), "--topics-prefix", area.prefix],
                              capture_output=True, text=True, timeout=60)
    same = ("topic", "timestamp", "key", "headers", "value")
    content = lambda text: sorted(json.dumps([json.loads(line)[name] for name in same])  # noqa: E731
                                  for line in text.splitlines())
    check(done.returncode == 0 and content(exported.stdout) == content(rows.read_text()),
          "J: an archive of replay is imported into a spool as it is", shown(done))
    schema = json.loads((pathlib.Path(__file__).resolve().parents[2] / "schemas/record-line.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    wrong = [str(error) for text in (rows.read_text(), archive.read_text(), exported.stdout) for line in text.splitlines()
             for error in validator.iter_errors(json.loads(line))]
    check(not wrong, "J: every line follows the schema", wrong[:1])
    tailed = area.run("tail", "--json", "--show-content", "--from-beginning", "--type", "reply", "--count", "5")
    done = area.replay("--from-file", "-", "--to-topic", area.topic("again"), input=tailed.stdout)
    check(done.returncode == 0 and len(area.read("again")) == 5, "J: and what tail --json prints can be replayed", shown(done))
    area.end()


# K. Progress and summaries.
def summaries(stand, check):
    area = Area(stand, "summaries")
    area.create("reply", 1)
    area.create("target", 1)
    area.send("reply", range(3_000), key=b"27820000001")
    area.send("reply", range(3_000, 6_000), key=b"27820000002")
    arguments = ("--from", "earliest", "--type", "reply", "--key", "27820000001", "--name", area.prefix, "--to-topic",
                 area.topic("target"))
    process = subprocess.Popen(area.words("replay", *arguments, "--rate", "500"), stderr=subprocess.PIPE, text=True)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=20)
    sent = len(area.read("target"))
    check(process.returncode == EARLY and 0 < sent < 3_000, "K: a replay that was interrupted", text)
    done = area.replay(*arguments, "--json")
    report = result(done)
    check(done.returncode == DONE and report.get("total") == 3_000 and report.get("records") == 3_000 - sent and said(done, "3000 in all"),
          "K: one that goes on reports the total over all runs", shown(done))
    check(said(done, "of 6000 read") or said(done, f"{3_000 - sent} of"), "K: matched of read", shown(done))
    slow = subprocess.Popen(area.words("replay", "--from", "earliest", "--type", "reply", "--rate", "250", "--to-file", 
                                       str(area.folder / "slow.ndjson")), stderr=subprocess.PIPE, text=True)
    time.sleep(12)
    slow.send_signal(signal.SIGINT)
    _, text = slow.communicate(timeout=20)
    check(re.search(r"read \d+ of 6000 \(\d+ %\).*\d+/s.*left", text) is not None, "K: progress has the rate and the time left", text)
    area.end()


# L. Content only where it is asked for.
def content(stand, check):
    area = Area(stand, "content")
    area.create("quarantine", 1)
    area.create("reply", 1)
    bridge = Bridge.start([str(stand.options.binary)], area.bootstrap, area.prefix, str(area.folder), "content",
                          {"SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true"})
    try:
        subprocess.run([str(stand.options.binary), "simulate", "--url", bridge.url, "--count", "1", "--rate", "0", "--types",
                        "reply"], check=True, capture_output=True, timeout=60)
        body = json.dumps({"Rufnummer": "27821234567", "Inhalt": "geheimer Text"}).encode()
        request = urllib.request.Request(f"{bridge.url}/webhooks/reply?hint=27829876543", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()
    finally:
        bridge.terminate()
        bridge.process.wait(30)
    done = area.run("quarantine show")
    check(done.returncode == 0 and "missing-fields" in done.stdout and not any(
        secret in done.stdout + done.stderr for secret in ("27821234567", "geheimer", "27829876543", "Rufnummer")),
        "L: quarantine show prints no content unasked", done.stdout)
    done = area.run("quarantine show", "--show-content")
    check(all(part in done.stdout for part in ("27821234567", "geheimer Text", "27829876543")), "L: and with --show-content all of it",
          done.stdout)
    area.end()


SCENARIOS = (retention, retention_of_redecoded, suspended, positions, transactions, times, keys, partitions, new_groups, metrics,
             files, summaries, content)
