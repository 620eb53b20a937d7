"""What `smsbridge replay` promises, on a real Kafka; see run."""

import argparse
import json
import os
import pathlib
import random
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import clusters
import imports
import many
from letters import dead_letters, library, quarantine

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOUR = 3_600_000
passed, failed = [], []


def check(condition, name, detail=""):
    (passed if condition else failed).append(name)
    if not condition:
        print(f"FAIL  {name}: {detail}", flush=True)


def rfc3339(milliseconds):
    moment = time.gmtime(milliseconds // 1_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{milliseconds % 1_000:03d}Z"


class Stand:
    """Topics of a prefix, filled with events of two hours."""

    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(folder)
        self.prefix = f"replay-{secrets.token_hex(4)}"
        self.admin = AdminClient({"bootstrap.servers": options.bootstrap, "broker.address.family": "v4"})
        self.start = (int(time.time()) - 2 * 3_600 - 600) * 1_000
        self.create("delivery-status", "reply", "back", "other")
        document = json.loads((ROOT / "docs/asyncapi.json").read_text())
        self.example = document["components"]["messages"]["deliveryStatus"]["examples"][0]

    def topic(self, name):
        return f"{self.prefix}.{name}"

    def create(self, *names):
        for future in self.admin.create_topics([NewTopic(self.topic(name), 6, 1) for name in names]).values():
            future.result()

    def producer(self):
        return Producer({"bootstrap.servers": self.options.bootstrap, "broker.address.family": "v4", "linger.ms": 20,
                         "queue.buffering.max.messages": 2_000_000, "log_level": 0})

    def fill(self, name, count):
        """Record n was received at n shares of two hours. Of the second half hour a spool has kept every third one for an
        hour, and a second bridge, whose clock is 90 s ahead, has written every fifth."""
        producer = self.producer()
        rest, times = [], {}
        body = json.dumps(self.example["payload"], separators=(",", ":")).encode()
        for number in range(count):
            at = self.start + number * 2 * HOUR // count
            if number % 5 == 0:
                at += 90_000
            times[number] = at
            one = (f"2782{number % 9_000_000:07d}".encode(), b"%d" % number, at)
            if HOUR // 2 <= at - self.start < HOUR and number % 3 == 0:
                rest.append((at + HOUR, one))
                continue
            while rest and rest[0][0] <= at:
                self.send(producer, name, body, rest.pop(0)[1])
            self.send(producer, name, body, one)
        for _, one in rest:
            self.send(producer, name, body, one)
        check(producer.flush(120) == 0, "the topic could be filled")
        return times

    def send(self, producer, name, body, one):
        key, number, at = one
        while True:
            try:
                producer.produce(self.topic(name), body, key, timestamp=at, headers=[("ce_id", number), ("none", None)])
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)

    def command(self, *arguments):
        return [str(self.options.binary), "replay", "--kafka-bootstrap-servers", self.options.bootstrap, "--topics-prefix",
                self.prefix, *arguments]

    def replay(self, *arguments, **more):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=240, **more)

    def read(self, name):
        """All records of a topic."""
        consumer = Consumer({"bootstrap.servers": self.options.bootstrap, "broker.address.family": "v4", "group.id": "judge",
                             "enable.auto.commit": False, "log_level": 0})
        places = [TopicPartition(self.topic(name), partition, 0) for partition in range(6)]
        left = sum(consumer.get_watermark_offsets(place, 10)[1] for place in places)
        consumer.assign(places)
        records = []
        while len(records) < left:
            some = consumer.consume(10_000, 5)
            if not some:
                break
            records += [record for record in some if not record.error()]
        consumer.close()
        return records

    def count(self, name):
        """How many records a topic has ever got."""
        consumer = Consumer({"bootstrap.servers": self.options.bootstrap, "broker.address.family": "v4", "group.id": "judge",
                             "log_level": 0})
        places = [TopicPartition(self.topic(name), partition) for partition in range(6)]
        found = sum(consumer.get_watermark_offsets(place, 10)[1] for place in places)
        consumer.close()
        return found

    def offsets(self, group, name):
        consumer = Consumer({"bootstrap.servers": self.options.bootstrap, "broker.address.family": "v4", "group.id": group,
                             "log_level": 0})
        found = consumer.committed([TopicPartition(self.topic(name), partition) for partition in range(6)], 10)
        consumer.close()
        return [place.offset for place in found]


class Live(threading.Thread):
    """A group that reads along, and notes whether anything happens to it."""

    def __init__(self, stand, *names):
        super().__init__(daemon=True)
        self.group = f"{stand.prefix}-live"
        self.assigned, self.is_over, self.handled, self.lags = 0, threading.Event(), 0, []
        self.consumer = Consumer({"bootstrap.servers": stand.options.bootstrap, "broker.address.family": "v4", "group.id":
                                  self.group, "auto.offset.reset": "earliest", "log_level": 0,
                                  "auto.commit.interval.ms": 200})
        self.consumer.subscribe([stand.topic(name) for name in names], on_assign=self.note, on_revoke=self.note)

    def note(self, *_):
        self.assigned += 1

    def run(self):
        while not self.is_over.is_set():
            # A short wait: `consume` gathers until it is over, and that would be the lag.
            records = self.consumer.consume(5_000, 0.02)
            now = time.time() * 1_000
            self.handled += len(records)
            self.lags += [now - record.timestamp()[1] for record in records if record.topic().endswith(".trickle")]
        self.consumer.close()

    def take_lags(self):
        """Milliseconds from production to the hand of the group, of what came since the last call; sorted."""
        taken, self.lags = self.lags, []
        return sorted(taken)


class Trickle(threading.Thread):
    """Live events, 200 a second, for a group that must not feel what is replayed beside it."""

    def __init__(self, stand):
        super().__init__(daemon=True)
        self.stand, self.is_over = stand, threading.Event()

    def run(self):
        producer = Producer({"bootstrap.servers": self.stand.options.bootstrap, "broker.address.family": "v4",
                             "linger.ms": 1, "log_level": 0})
        while not self.is_over.wait(0.005):
            producer.produce(self.stand.topic("trickle"), b"{}", b"2782000", timestamp=int(time.time() * 1_000))
            producer.poll(0)
        producer.flush(10)


def killed_at_work(stand, file, arguments):
    """A replay into a file that is killed when something is in it, and some seconds of it were kept."""
    with subprocess.Popen(stand.command(*arguments), stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not (file.exists() and file.stat().st_size > 0) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(2)
        process.kill()


def numbers(path):
    with open(path, encoding="utf-8") as file:
        return [int(json.loads(line)["headers"]["ce_id"]) for line in file]


def windows(stand, times):
    stand.create("trickle")
    live = Live(stand, "delivery-status", "trickle")
    live.start()
    end = time.monotonic() + 120
    while live.handled < len(times) and time.monotonic() < end:
        time.sleep(0.1)
    trickle = Trickle(stand)
    trickle.start()
    time.sleep(2)
    live.take_lags()
    time.sleep(5)
    calm = live.take_lags()
    before, noted = stand.offsets(live.group, "delivery-status"), live.assigned
    for name, low, high in (("in the outage", 40, 60), ("after it", 95, 115), ("across its end", 55, 75)):
        low, high = stand.start + low * 60_000, stand.start + high * 60_000
        wanted = [number for number, at in times.items() if low <= at < high]
        file = stand.folder / f"{low}.ndjson"
        began = time.monotonic()
        done = stand.replay("--from", rfc3339(low), "--to", rfc3339(high), "--type", "delivery-status", "--to-file", str(file))
        took = time.monotonic() - began
        check(done.returncode == 0, f"a window {name}: exit code", done.stderr)
        check(sorted(numbers(file)) == wanted, f"a window {name} is exact", f"{len(wanted)} wanted, {done.stderr}")
        print(f"      a window {name}: {len(wanted)} of {len(times)} records, {took:.1f} s", flush=True)
        check(file.stat().st_mode & 0o777 == 0o600, "an archive is its owner's only")
        counted = json.loads(stand.replay("--from", rfc3339(low), "--to", rfc3339(high), "--type", "delivery-status",
                                          "--dry-run", "--json").stdout)
        check(counted["records"] == len(wanted) and counted["complete"], f"a window {name}: counted", counted)
    key = "27820000123"
    counted = json.loads(stand.replay("--from", "earliest", "--key", key, "--dry-run", "--json").stdout)
    check(counted["records"] == 1, "one number", counted)
    check(stand.offsets(live.group, "delivery-status") == before, "the live group's offsets stand")
    check(live.assigned == noted, "the live group was not rebalanced")
    during = live.take_lags()
    half, most = (lambda lags: lags[len(lags) // 2]), (lambda lags: lags[len(lags) * 99 // 100])
    print(f"      live group: lag {half(calm):.0f} ms (p99 {most(calm):.0f}) in calm, {half(during):.0f} ms "
          f"(p99 {most(during):.0f}) beside the replays; {len(during)} events", flush=True)
    # A replay that held the group up would do so for as long as it reads: seconds. What a busy machine adds is noise.
    check(half(during) <= half(calm) + 100, "the live group's lag does not rise", f"{half(calm)} ms, then {half(during)} ms")
    trickle.is_over.set()
    trickle.join(20)
    live.is_over.set()
    live.join(20)


def kills(stand, times):
    """Killed at random, to a topic and to a file; what goes on is the same command."""
    chance = random.Random(7)
    for target, rate in (("topic", 4), ("file", 4)):
        file = stand.folder / "killed.ndjson"
        arguments = ["--from", rfc3339(stand.start), "--type", "delivery-status", "--name", f"kill-{target}",
                     "--rate", str(len(times) // rate)]
        arguments += ["--to-topic", stand.topic("back")] if target == "topic" else ["--to-file", str(file)]
        rounds = killed = 0
        while True:
            rounds += 1
            with open(stand.folder / "killed.err", "w", encoding="utf-8") as log:
                process = subprocess.Popen(stand.command(*arguments), stderr=log)
            if killed < 10:
                try:
                    process.wait(chance.uniform(0.3, 1.5))
                except subprocess.TimeoutExpired:
                    if chance.random() < 0.2:
                        process.send_signal(signal.SIGINT)
                        status, said = process.wait(60), (stand.folder / "killed.err").read_text()
                        # On a busy machine it may not have come as far as to listen for it.
                        begun = status != -signal.SIGINT
                        check(status == 4 if begun else not said, "Ctrl-C ends early", f"{status} {said[-300:]}")
                        check(not begun or "to resume: " in said, "Ctrl-C says how to resume", said[-300:])
                    else:
                        process.kill()
                        process.wait(10)
                    killed += 1
                    continue
            status = process.wait(120)
            break
        check(status == 0, f"kills, to a {target}: it ends", f"{status} after {rounds} rounds")
        found = numbers(file) if target == "file" else [int(dict(r.headers())["ce_id"]) for r in stand.read("back")]
        check(set(found) == set(times), f"kills, to a {target}: the union is complete",
              f"{len(set(found))} of {len(times)}")
        # A checkpoint a second, and what a second brings in.
        bound = (rounds - 1) * len(times) // rate * 3
        check(len(found) - len(times) <= bound, f"kills, to a {target}: repeats are bounded", f"{len(found) - len(times)}")
        print(f"      {rounds - 1} kills, to a {target}: {len(found) - len(times)} records again", flush=True)
        again = stand.replay(*arguments)
        check(again.returncode == 0 and " 0 records sent" in again.stderr, f"a name to a {target} is done once", again.stderr)


def archives(stand, times):
    file = stand.folder / "whole.ndjson"
    stand.replay("--from", rfc3339(stand.start), "--type", "delivery-status", "--to-file", str(file))
    done = stand.replay("--from-file", str(file), "--to-topic", stand.topic("other"))
    check(done.returncode == 0, "an archive is sent", done.stderr)

    def content(records):
        return sorted((r.key(), r.value(), r.timestamp()[1],
                       tuple(h for h in r.headers() if not h[0].startswith("replay-"))) for r in records)

    first, second = stand.read("delivery-status"), stand.read("other")
    check(content(first) == content(second), "what an archive brings back is what was there, byte for byte")
    places = {f"{r.topic()}/{r.partition()}/{r.offset()}" for r in first}
    check({dict(r.headers())["replay-of"].decode() for r in second} == places, "replay-of tells the first place")
    before, end = stand.count("back"), time.monotonic() + 60
    with subprocess.Popen(stand.command("--from-file", str(file), "--to-topic", stand.topic("back"), "--rate",
                                        str(len(times) // 120), "--json"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while stand.count("back") == before and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    check(process.returncode == 4 and "starts over" in errors and not json.loads(output)["complete"],
          "an archive that was interrupted says that it starts over", f"{process.returncode} {output} {errors}")
    lines = file.read_bytes().split(b"\n")
    for broken, words in ((b'{"topic":1}', "topic"), (b"{", "byte"), (lines[0].replace(b'"offset":', b'"ofset":'), "offset")):
        bad = stand.folder / "bad.ndjson"
        bad.write_bytes(lines[0] + b"\n" + broken + b"\n")
        done = stand.replay("--from-file", str(bad), "--to-topic", stand.topic("other"))
        check(done.returncode == 1 and "line 2" in done.stderr and words in done.stderr, f"a broken line: {words}",
              done.stderr)


def groups(stand, times):
    live = Live(stand, "delivery-status")
    live.start()
    time.sleep(5)
    arguments = ("--from", rfc3339(stand.start + HOUR), "--type", "delivery-status", "--to-group", live.group)
    done = stand.replay(*arguments, "--execute")
    check(done.returncode == 1 and "members" in done.stderr, "a group that runs is not rewound", done.stderr)
    live.is_over.set()
    live.join(20)
    before = stand.offsets(live.group, "delivery-status")
    done = stand.replay(*arguments)
    check(done.returncode == 0 and "--execute" in done.stderr and stand.offsets(live.group, "delivery-status") == before,
          "a rewind is shown first", done.stderr)
    done = stand.replay(*arguments, "--execute", "--json")
    told = json.loads(done.stdout)
    after = stand.offsets(live.group, "delivery-status")
    check([place["after"] for place in told["partitions"]] == after and [place["before"] for place in told["partitions"]]
          == before and after != before, "a rewind is done, and tells before and after", done.stdout)
    # One that lags behind --from would lose what lies between; and it has never read replies.
    lagging = f"{stand.prefix}-lagging"
    consumer = Consumer({"bootstrap.servers": stand.options.bootstrap, "broker.address.family": "v4", "group.id": lagging,
                         "log_level": 0})
    consumer.commit(offsets=[TopicPartition(stand.topic("delivery-status"), partition, 10) for partition in (0, 1)],
                    asynchronous=False)
    consumer.close()
    nothing = TopicPartition("", 0).offset
    done = stand.replay("--from", "offset:50", "--to-group", lagging, "--execute", "--json")
    check(done.returncode == 0 and stand.offsets(lagging, "delivery-status") == [10, 10] + [nothing] * 4,
          "a group that lags is not moved forward, nor given a place that it did not have",
          f"{done.stderr} {stand.offsets(lagging, 'delivery-status')}")
    check(stand.offsets(lagging, "reply") == [nothing] * 6, "nor one in a topic that it never read", stand.offsets(lagging, "reply"))
    check({place["after"] for place in json.loads(done.stdout)["partitions"]} == {10, None}, "and it says so", done.stdout)
    done = stand.replay("--from", "offset:50", "--type", "delivery-status", "--to-group", lagging, "--force")
    check(done.returncode == 0 and "forward: 40 are skipped" in done.stdout and stand.offsets(lagging, "delivery-status")[0] == 10,
          "what --force would skip is shown", done.stdout)
    done = stand.replay("--from", "offset:50", "--type", "delivery-status", "--to-group", lagging, "--force", "--execute")
    check(done.returncode == 0 and stand.offsets(lagging, "delivery-status") == [50] * 6, "and done with --execute", done.stderr)
    done = stand.replay("--from", "offset:50", "--to-group", f"{stand.prefix}-unknown", "--execute")
    check(done.returncode == 1 and "nothing to rewind" in done.stderr, "a group that nobody knows", done.stderr)


def redecoding(stand, _):
    """Events that were understood wrongly are corrected under their first ids."""
    producer = stand.producer()
    right = stand.example["payload"]
    for number in range(20):
        wrong = dict(right, id=f"{number:032x}", state="failed" if number < 15 else right["state"])
        producer.produce(stand.topic("reply"), json.dumps(wrong, separators=(",", ":"), ensure_ascii=False).encode(),
                         b"27820000001", timestamp=stand.start, headers=[("ce_id", f"{number:032x}".encode()), ("own", b"x")])
    producer.flush(30)
    stand.create("corrected")
    arguments = ("--from", "earliest", "--type", "reply", "--redecode")
    told = json.loads(stand.replay(*arguments, "--dry-run", "--json").stdout)
    check(told["differences"].get("delivery-status.state") == 15, "a dry run says which fields would differ", told)
    done = stand.replay(*arguments, "--to-topic", stand.topic("corrected"))
    records = [(json.loads(r.value()), dict(r.headers()), r.timestamp()[1]) for r in stand.read("corrected")]
    check(sorted(value["id"] for value, _, _ in records) == [f"{number:032x}" for number in range(20)],
          "corrected events have their first ids", done.stderr)
    check(all(value["state"] == right["state"] and headers["ce_id"].decode() == value["id"] and headers["own"] == b"x"
              and at == stand.start for value, headers, at in records), "corrected events are right", records[:1])


def failures(stand, times):
    def ends(name, code, words, *arguments, **more):
        done = stand.replay(*arguments, **more)
        check(done.returncode == code and all(word in done.stderr for word in words), name, f"{done.returncode} {done.stderr}")

    ends("nothing in the range", 0, ["no record in this range"], "--from", rfc3339(stand.start + 3 * HOUR), "--type",
         "delivery-status", "--dry-run")
    ends("a missing topic", 1, ["none of these topics exists", "url-click"], "--from", "1h", "--type", "url-click", "--dry-run")
    ends("one of two that were named is missing", 1, ["does not exist", "url-click"], "--from", "1h", "--type", "url-click", "--type",
         "delivery-status", "--dry-run")
    ends("a target that is missing", 1, ["no-such-topic", "does not exist"], "--from", "1h", "--to-topic", "no-such-topic")
    ends("a live topic", 2, ["--force"], "--from", "1h", "--to-topic", stand.topic("reply"))
    ends("no target", 2, ["--to-topic"], "--from", "1h")
    ends("two targets", 2, ["--to-file"], "--from", "1h", "--to-file", "x", "--to-topic", "y")
    ends("no beginning", 2, ["--from"], "--dry-run")
    ends("a window upside down", 2, ["not before"], "--from", "1h", "--to", "2h", "--dry-run")
    ends("a wrong time", 2, ["RFC 3339"], "--from", "2026-11-17T25:00:00", "--dry-run")
    ends("a wrong type", 2, ["did you mean"], "--from", "1h", "--type", "replay", "--dry-run")
    stand.replay("--from", "earliest", "--type", "delivery-status", "--key", "27829999999", "--name", "taken", "--to-topic", stand.topic("back"))
    ends("a name that is taken", 1, ["another replay has this name"], "--from", "1h", "--name", "taken", "--to-topic",
         stand.topic("back"))
    file = stand.folder / "exists"
    file.write_text("mine")
    ends("a file that is there", 1, ["exists"], "--from", "1h", "--to-file", str(file))
    check(file.read_text() == "mine", "a file that is there stays")
    for _ in (1, 2):
        ends("a file that is there, with a name", 1, ["exists"], "--from", "1h", "--name", "to-mine", "--to-file", str(file))
    check(file.read_text() == "mine", "a file that is there stays, whatever the name")
    lost = stand.folder / "lost.ndjson"
    arguments = ("--from", rfc3339(stand.start), "--type", "delivery-status", "--name", "lost", "--to-file", str(lost))
    killed_at_work(stand, lost, (*arguments, "--rate", str(len(times) // 60)))
    lost.rename(stand.folder / "moved.ndjson")
    ends("the file of a name is lost", 1, ["is not there", "another --name"], *arguments)
    check(not lost.exists(), "a lost file is not begun with the rest")
    (stand.folder / "moved.ndjson").rename(lost)
    done = stand.replay(*arguments)
    check(done.returncode == 0 and set(numbers(lost)) == set(times), "brought back, it is complete", done.stderr)
    lost.unlink()
    ends("a name at its end needs no file", 0, [" 0 records sent"], *arguments)

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    target = stand.folder / "full.ndjson"
    arguments = ("--from", rfc3339(stand.start), "--type", "delivery-status", "--name", "full", "--to-file", str(target))
    ends("a disk that fills", 1, ["cannot write", "to resume", "'sasl.password=…'"], *arguments, "--kafka-properties",
         "sasl.password=hidden-value", preexec_fn=small)
    done = stand.replay(*arguments, "--kafka-properties", "sasl.password=hidden-value", preexec_fn=small)
    check("to resume" in done.stderr and "hidden-value" not in done.stderr, "no secret in the command that goes on", done.stderr)
    done = stand.replay(*arguments)
    check(done.returncode == 0 and set(numbers(target)) == set(times), "after a full disk the same command loses nothing",
          done.stderr)
    consumer = Consumer({"bootstrap.servers": stand.options.bootstrap, "broker.address.family": "v4", "group.id": "x"})
    killed = stand.folder / "retention.ndjson"
    resumed = ("--from", rfc3339(stand.start), "--type", "delivery-status", "--name", "retention", "--to-file", str(killed))
    killed_at_work(stand, killed, (*resumed, "--rate", str(len(times) // 60)))
    ends_of = [consumer.get_watermark_offsets(TopicPartition(stand.topic("delivery-status"), p), 10)[1] for p in range(6)]
    consumer.close()
    for future in stand.admin.delete_records([TopicPartition(stand.topic("delivery-status"), p, end // 2)
                                              for p, end in enumerate(ends_of)]).values():
        future.result()
    ends("retention has passed a name's position", 6, ["deleted before they could be read", "--skip-deleted"], *resumed)
    before = numbers(killed)
    done = stand.replay(*resumed, "--skip-deleted", "--json")
    check(done.returncode == 0, "--skip-deleted", done.stderr)
    told, after = json.loads(done.stdout or '{"complete": false, "missed": 0}'), numbers(killed)
    # What was written behind the last checkpoint counts as missed, too.
    check(told["complete"] and told["missed"] > 0
          and 0 < len(times) - len(set(after)) <= told["missed"] and after[:len(before)] == before,
          "--skip-deleted goes on with what is left, and counts what is missed", f"{told} {len(set(after))} {done.stderr}")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(stand.command("--from", rfc3339(stand.start), "--type", "delivery-status", "--name", "full-output",
                                            "--to-file", "-"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 1 and "standard output: No space left" in done.stderr and "to resume" in done.stderr,
          "a full disk behind standard output", done.stderr)
    ends("beyond retention", 6, ["have been deleted"], "--from", rfc3339(stand.start), "--type", "delivery-status", "--dry-run")
    done = subprocess.run([str(stand.options.binary), "replay", "--kafka-bootstrap-servers", "127.0.0.1:1", "--from", "1h",
                           "--dry-run"], capture_output=True, text=True, timeout=60)
    check(done.returncode == 1 and "Kafka" in done.stderr, "Kafka is away", done.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / ".build/debug/smsbridge")
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"))
    own = (windows, kills, archives, groups, failures)
    parts = (windows, kills, archives, groups, redecoding, library, dead_letters, quarantine, *clusters.SCENARIOS,
             *imports.SCENARIOS, *many.SCENARIOS, failures)
    parser.add_argument("--only", action="append", choices=[part.__name__ for part in parts], help="may be repeated")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rows", type=int, default=1_000, help="rows of each imported format")
    parser.add_argument("--kill-rounds", type=int, default=2, help="kills of import and of dlt redrive")
    parser.add_argument("--large", dest="small", action="store_false", help="imports of the size that is tried by hand")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smsbridge-replay-") as folder:
        stand = Stand(options, folder)
        chosen = [part for part in parts if not options.only or part.__name__ in options.only]
        times = stand.fill("delivery-status", options.events) if set(own) & set(chosen) else {}
        for part in chosen:
            began = time.monotonic()
            try:
                part(stand, times) if part in own else part(stand, check)
            except Exception:  # The others are run all the same.
                check(False, part.__name__, traceback.format_exc())
            print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        stand.admin.delete_topics([stand.topic(n) for n in ("delivery-status", "reply", "back", "other", "corrected",
                                                                 "trickle")])
        time.sleep(1)
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
