"""Dead letters and the quarantine, from the failure to its end: real bridge, real consumers, real Kafka."""

import json
import os
import pathlib
import random
import secrets
import signal
import subprocess
import sys
import time
import urllib.request

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Contract"))
from bridge import Bridge  # noqa: E402


def until(condition, limit=40):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


class Probe:
    """A member of a group, ConsumerProbe, and what it has handled."""

    def __init__(self, stand, prefix, group, *options):
        self.ledger = stand.folder / f"{group}-{secrets.token_hex(2)}.ledger"
        program = stand.options.binary.parent / "SMSBridgeConsumerProbe"
        with open(stand.folder / f"{group}.err", "ab") as log:
            self.process = subprocess.Popen([program, stand.options.bootstrap, group, prefix, self.ledger, *options],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def lines(self):
        if not self.ledger.exists():
            return []
        return [line.split() for line in self.ledger.read_text().splitlines() if line.count(" ") >= 5]

    def numbers(self):
        return [line[3] for line in self.lines()]

    def end(self):
        self.process.terminate()
        return self.process.wait(30)


def records(stand, topic):
    consumer = Consumer({"bootstrap.servers": stand.options.bootstrap, "broker.address.family": "v4", "group.id": "judge",
                         "enable.auto.commit": False, "log_level": 0})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    places = [TopicPartition(topic, partition, 0) for partition in partitions]
    left = sum(consumer.get_watermark_offsets(place, 10)[1] for place in places)
    consumer.assign(places)
    found = []
    end = time.monotonic() + 60
    while len(found) < left and time.monotonic() < end:
        found += consumer.consume(left - len(found), 5)
    consumer.close()
    return found


def library(stand, check):
    """A replay of the library beside its live group, killed again and again."""
    prefix, events = f"library-{secrets.token_hex(4)}", 20_000
    topic, group = f"{prefix}.delivery-status", f"{prefix}-crm"
    stand.admin.create_topics([NewTopic(topic, 6, 1)])[topic].result()
    subprocess.run([stand.options.binary.parent / "SMSBridgeConsumerBench", "fill", stand.options.bootstrap, prefix, str(events),
                    "2000"], check=True, capture_output=True, timeout=60)
    live = Probe(stand, prefix, group)
    check(until(lambda: len(live.numbers()) == events), "the live group handles all")
    time.sleep(1.5)
    before = committed(stand, group, topic)
    assigned_before = (stand.folder / f"{group}.err").read_text().count('"partitions assigned"')
    chance, lines, kills = random.Random(5), [], 0
    options = ("--replay", "again", "--work", "8", "--concurrency", "16", "--commit-interval", "200")
    while True:
        probe = Probe(stand, prefix, group, *options)
        try:
            status = probe.process.wait(chance.uniform(0.4, 1.2) if kills < 10 else 60)
        except subprocess.TimeoutExpired:
            status = None
            probe.process.kill()
            probe.process.wait(10)
            kills += 1
        lines.append(probe.lines())
        if status is not None:
            break
    check(status == 0, "the library's replay ends by itself", status)
    places = [(line[1], line[2]) for one in lines for line in one]
    check(len(set(places)) == events, "killed again and again it handles every event", f"{len(set(places))} of {events}")
    repeats = len(places) - len(set(places))
    # 16 handlers of 8 ms for a commit's interval, and the time until the kill is felt.
    check(repeats <= kills * 16 * 125 * 0.6, "what a kill repeats is bounded by the commit's interval", repeats)
    print(f"      {kills} kills of the library's replay: {repeats} events again", flush=True)
    check(len(live.numbers()) == events, "the live group handles nothing again")
    check(committed(stand, group, topic) == before, "and its offsets stand")
    text = (stand.folder / f"{group}.err").read_text()
    assigned = text.count('"partitions assigned"')
    check(assigned == assigned_before and "revoked" not in text and "lost" not in text, "and it was not rebalanced",
          f"{assigned_before}, then {assigned}: {text[-500:]}")
    check(live.end() == 0, "the live consumer ends")


def committed(stand, group, topic):
    consumer = Consumer({"bootstrap.servers": stand.options.bootstrap, "broker.address.family": "v4", "group.id": group,
                         "log_level": 0})
    found = consumer.committed([TopicPartition(topic, partition) for partition in range(6)], 10)
    consumer.close()
    return [place.offset for place in found]


def dead_letters(stand, check):
    prefix, group, other = (f"letters-{secrets.token_hex(4)}{name}" for name in ("", "-crm", "-other"))
    stand.admin.create_topics([NewTopic(f"{prefix}.delivery-status", 3, 1)])[f"{prefix}.delivery-status"].result()
    subprocess.run([stand.options.binary.parent / "SMSBridgeConsumerBench", "fill", stand.options.bootstrap, prefix, "200", "20"],
                   check=True, capture_output=True, timeout=60)
    bad = "27821000007"
    failing, others = Probe(stand, prefix, group, "--fail-key", bad), Probe(stand, prefix, other)
    check(until(lambda: len(failing.numbers()) == 190 and len(others.numbers()) == 200), "one number fails, the rest is handled")

    def dlt(*arguments):
        return subprocess.run([str(stand.options.binary), "dlt", arguments[0], "--kafka-bootstrap-servers",
                               stand.options.bootstrap, "--group", group, *arguments[1:]], capture_output=True, text=True,
                              timeout=60)

    def listed(*arguments):
        return [json.loads(line) for line in dlt("list", "--json", *arguments).stdout.splitlines()]

    until(lambda: len(listed()) == 10)
    letters = listed()
    check(len(letters) == 10, "ten dead letters are there", dlt("list"))
    check(len(letters) == 10 and all(one["cause"] == "Failing" and one["attempts"] == 3 and one["type"] == "delivery-status"
                                     for one in letters), "ten dead letters are listed with cause and attempts", letters[:1])
    check(bad not in dlt("list").stdout + dlt("show").stdout, "no number is shown unasked")
    check(bad in dlt("show", "--show-content").stdout, "what was asked for is shown")
    check(not listed("--cause", "Another") and not listed("--type", "reply") and not listed("--to", "1h")
          and len(listed("--from", "1h")) == 10 and len(listed("--at", letters[3]["at"])) == 1, "filters")
    check("10 dead letters would be redriven" in dlt("redrive", "--dry-run").stderr and len(listed()) == 10, "a dry run")
    # Still failing: another round of attempts, counted on.
    done = dlt("redrive", "--at", letters[0]["at"])
    check(done.returncode == 0 and "1 dead letters redriven" in done.stderr, "one is redriven", done.stderr)
    again = until(lambda: len(listed()) == 10 and any(one["attempts"] == 6 for one in listed()))
    check(again, "what fails again is a dead letter again, its attempts counted on", listed())
    check(failing.end() == 0, "the failing consumer ends")
    # Mended.
    mended = Probe(stand, prefix, group)
    time.sleep(3)
    check(mended.numbers() == [], "a group that comes back handles nothing twice", mended.numbers()[:3])
    done = dlt("redrive")
    check(done.returncode == 0 and "10 dead letters redriven" in done.stderr, "all are redriven", done.stderr)
    check(until(lambda: len(mended.numbers()) >= 10), "the group handles them")
    check("0 dead letters redriven" in dlt("redrive").stderr and not listed() and len(listed("--all")) == 11,
          "what was redriven is not redriven again")
    # As Kafka does after a week: committed offsets are forgotten, letters stay for a month.
    for future in stand.admin.delete_consumer_groups([f"smsbridge-dlt-{group}"]).values():
        future.exception()
    check("0 dead letters redriven" in dlt("redrive").stderr, "nor when Kafka has forgotten the offsets of groups")
    time.sleep(2)
    check(mended.numbers() == [bad] * 10, "each once", mended.numbers())
    check(len(others.numbers()) == 200, "no other group has seen them")
    check(mended.end() == 0 and others.end() == 0, "the consumers end")
    # Discarded.
    failing = Probe(stand, prefix, f"{group}2", "--fail-key", bad)
    group = f"{group}2"
    until(lambda: len(listed()) == 10)
    check("would be discarded" in dlt("discard").stderr and len(listed()) == 10, "discarding needs --execute")
    check("10 dead letters discarded" in dlt("discard", "--execute").stderr and not listed(), "discarded")
    failing.end()
    # Deleted and made again: the marks of the one that was say nothing of the letters of the other.
    letters = records(stand, f"{group}-dlt")
    stand.admin.delete_topics([f"{group}-dlt"])[f"{group}-dlt"].result()
    time.sleep(1)
    partitions = max(letter.partition() for letter in letters) + 1
    stand.admin.create_topics([NewTopic(f"{group}-dlt", partitions, 1)])[f"{group}-dlt"].result()
    check(len(letters) == 10, "ten letters for a topic that was made again", len(letters))
    left, end = list(letters), time.monotonic() + 60
    while left and time.monotonic() < end:
        # Its partitions may not be told everywhere yet, and a producer keeps what it was told.
        producer, refused = stand.producer(), []
        for letter in left:
            try:
                producer.produce(f"{group}-dlt", letter.value(), letter.key(), partition=letter.partition(),
                                 headers=letter.headers(),
                                 on_delivery=lambda error, _, letter=letter: refused.append(letter) if error else None)
            except KafkaException:
                refused.append(letter)
        producer.flush(60)
        left = refused
        time.sleep(0.5)
    check(len(listed()) == 10, "a topic that was made again begins open", listed())
    # One that forgets is of no use.
    configured = ConfigResource(ConfigResource.Type.TOPIC, f"smsbridge-dlt-{group}", {"cleanup.policy": "delete"})
    stand.admin.alter_configs([configured])[configured].result()
    done = dlt("discard", "--execute")
    check(done.returncode == 1 and "compact" in done.stderr and len(listed()) == 10, "marks that would be forgotten are refused",
          done.stderr)
    done = subprocess.run([str(stand.options.binary), "dlt", "list", "--kafka-bootstrap-servers", stand.options.bootstrap,
                           "--group", "no-such-group"], capture_output=True, text=True, timeout=60)
    check(done.returncode == 1 and "no-such-group-dlt" in done.stderr, "a group without dead letters", done.stderr)


def quarantine(stand, check):
    prefix = f"quarantine-{secrets.token_hex(4)}"
    secret = {"SMSBRIDGE_AUTH_HEADER_SECRETS": "letters-secret-0123456789"}
    bridge = Bridge.start([str(stand.options.binary)], stand.options.bootstrap, prefix, str(stand.folder), "quarantine", secret)

    def post(path, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{bridge.url}{path}", body, {
            "Content-Type": "application/json", "X-Webhook-Secret": "letters-secret-0123456789"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status

    try:
        for number in range(5):
            check(post("/webhooks/reply", {"Rufnummer": f"2782123456{number}", "Inhalt": f"ja {number}"}) == 200,
                  "a shape that nobody knows is answered 200")
        check(post("/webhooks/reply", {"Unsinn": 1}) == 200, "what never makes sense is answered 200")
    finally:
        bridge.process.send_signal(signal.SIGTERM)
        bridge.process.wait(20)

    def command(name, *arguments, fields=True):
        variables = dict(os.environ, SMSBRIDGE_TOPICS_PREFIX=prefix, SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS=stand.options.bootstrap)
        mapping = ["--events-reply-fields", "Rufnummer=msisdn", "--events-reply-fields", "Inhalt=text"] if fields else []
        return subprocess.run([str(stand.options.binary), "quarantine", name, *mapping, *arguments], env=variables,
                              capture_output=True, text=True, timeout=60)

    first = {json.loads(r.value())["id"]: r for r in records(stand, f"{prefix}.quarantine")}
    done = command("list")
    check(done.returncode == 0 and len(done.stdout.splitlines()) == 6 and "2782" not in done.stdout,
          "the quarantine is listed, without content", done.stderr)
    check("Rufnummer" not in command("show").stdout and "Rufnummer" in command("show", "--show-content").stdout,
          "and shown with it when asked for")
    done = command("redecode", "--json", fields=False)
    check(json.loads(done.stdout)["understood"] == {}, "without a mapping nothing is understood", done.stdout)
    told = json.loads(command("redecode", "--dry-run", "--json").stdout)
    check(told["understood"] == {"reply": 5} and sum(told["left"].values()) == 1, "a dry run tells what would be", told)
    check(not records(stand, f"{prefix}.reply"), "and publishes nothing")
    done = command("redecode")
    check(done.returncode == 0 and "5 callbacks are understood now, and published" in done.stderr, "redecode", done.stderr)
    command("redecode")
    replies = records(stand, f"{prefix}.reply")
    values = [json.loads(r.value()) for r in replies]
    check(sorted(v["text"] for v in values) == [f"ja {n}" for n in range(5)], "they arrive typed, once", values)
    check(all(v["id"] in first and v["receivedAt"] == json.loads(first[v["id"]].value())["receivedAt"]
              and r.timestamp()[1] == first[v["id"]].timestamp()[1] and r.key() == v["msisdn"].encode()
              and dict(r.headers())["ce_id"].decode() == v["id"] for v, r in zip(values, replies)),
          "with their first ids and times", values[:1])
    check(len(command("list").stdout.splitlines()) == 1 and len(command("list", "--all").stdout.splitlines()) == 6,
          "what is not understood stays")

    # Text in a charset that it does not declare: read in the one that is given.
    bridge = Bridge.start([str(stand.options.binary)], stand.options.bootstrap, prefix, str(stand.folder), "charset", secret)
    try:
        check(post("/webhooks/reply", '{"Id": 77, "Message": "caf\u00e9 5 \u20ac", "Msisdn": "27821234567"}'.encode("cp1252")) == 200,
              "bytes that are not UTF-8 are answered 200")
    finally:
        bridge.process.send_signal(signal.SIGTERM)
        bridge.process.wait(20)
    check("invalid-utf-8" in command("list").stdout, "they are in the quarantine", command("list").stdout)
    done = command("redecode", "--charset", "klingon")
    check(done.returncode != 0 and "klingon" in done.stderr, "a charset that is not supported", done.stderr)
    command("redecode")
    check(len(records(stand, f"{prefix}.reply")) == 5, "without a charset they stay")
    done = command("redecode", "--charset", "windows-1252")
    replies = [json.loads(r.value()) for r in records(stand, f"{prefix}.reply")]
    check(done.returncode == 0 and [v["text"] for v in replies if v.get("messageId") == "77" or v.get("replyId") == "77"]
          == ["caf\u00e9 5 \u20ac"], "redecode --charset", f"{done.stderr} {replies[-1:]}")

    # An event that its topic refuses for itself, until the topic takes more.
    topic = f"{prefix}.url-click"

    admin = AdminClient({"bootstrap.servers": stand.options.bootstrap})

    def limit(size):
        config = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config={"max.message.bytes": str(size)})
        for future in admin.alter_configs([config]).values():
            future.result(30)

    limit(300)
    bridge = Bridge.start([str(stand.options.binary)], stand.options.bootstrap, prefix, str(stand.folder), "refused", secret)
    try:
        body = {"phoneNumber": "27821234567", "type": "REDIRECT", "interactionUtc": "1735718400", "landingPageName": "Spring"}
        check(post("/webhooks/url-click", body) == 200, "what Kafka refuses is answered 200")
        deadline = time.monotonic() + 30
        while "refused in" not in (listed := command("list").stdout) and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        bridge.process.send_signal(signal.SIGTERM)
        bridge.process.wait(20)
    check(f"refused in {topic}" in listed and "27821234567" not in listed, "it is in the quarantine", listed)
    command("redecode")
    check(not records(stand, topic) and f"refused in {topic}" in command("list").stdout, "and stays there unless asked for")
    done = command("redecode", "--refused")
    check(done.returncode == 4 and f"refused again in {topic}" in done.stdout and f"refused in {topic}" in command("list").stdout,
          "what is refused again stays", done.stderr + done.stdout)
    limit(1 << 20)
    check(json.loads(command("redecode", "--refused", "--dry-run", "--json").stdout)["understood"] == {"url-click": 1}, "counted first")
    done = command("redecode", "--refused")
    sent = records(stand, topic)
    check(done.returncode == 0 and len(sent) == 1 and f"refused in {topic}" not in command("list").stdout,
          "then it is in its topic, once", done.stderr)
    headers = dict(sent[0].headers()) if sent else {}
    check(sent and headers["ce_id"].decode() == json.loads(sent[0].value())["id"] and sent[0].key() == b"27821234567"
          and not any(name.startswith("smsbridge-") for name in headers), "as it was meant to be", headers)
