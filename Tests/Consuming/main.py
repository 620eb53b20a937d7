"""Reads what a bridge has written with the samples of other languages; see run."""

import argparse
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "Contract"))
from bridge import Bridge  # noqa: E402
from confluent_kafka import Producer  # noqa: E402
import jsonschema  # noqa: E402
import urllib.request  # noqa: E402

passed, failed, skipped = [], [], []


def check(condition, name, detail=""):
    (passed if condition else failed).append(name)
    if not condition:
        print(f"FAIL  {name}: {detail}")


def asyncapi():
    """The document names every topic, its references lead to schemas, and its examples are valid."""
    document = json.loads((ROOT / "docs/asyncapi.json").read_text())
    swift = (ROOT / "Sources/Library/SMSPortalEvents/EventType.swift").read_text().partition("public var suffix")[2].partition("}\n")[0]
    topics = {f"smsportal.{name}" for name in re.findall(r'case \.\w+: "([a-z-]+)"', swift)}
    addresses = {channel["address"] for channel in document["channels"].values()}
    check(addresses == topics, "AsyncAPI names the bridge's topics", f"{addresses ^ topics}")

    def resolve(reference):
        if reference.startswith("#/"):
            place = document
            for part in reference[2:].split("/"):
                place = place[part]
            return place
        return json.loads((ROOT / "docs" / reference).read_text())

    for name, message in document["components"]["messages"].items():
        schema = resolve(message["payload"]["schema"]["$ref"])
        for example in message["examples"]:
            errors = list(jsonschema.Draft202012Validator(schema).iter_errors(example["payload"]))
            check(not errors, f"AsyncAPI's example of {name} is valid", errors[:1])
            headers = resolve(message["headers"]["$ref"])
            errors = list(jsonschema.Draft202012Validator(headers).iter_errors(example["headers"]))
            check(not errors, f"AsyncAPI's headers of {name} are valid", errors[:1])
            check(example["headers"]["ce_id"] == example["payload"]["id"], f"AsyncAPI's id of {name}")
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            resolve(message["$ref"])
    check(document["asyncapi"].startswith("3."), "AsyncAPI 3")


def post(url, secret, kind, **fields):
    request = urllib.request.Request(
        f"{url}/webhooks/{kind}", json.dumps(fields).encode(), {"X-Webhook-Secret": secret}, method="POST")
    with urllib.request.urlopen(request, timeout=15) as answer:
        assert answer.status == 200


def send(url, secret, count, first):
    """Statuses, replies and opt-outs, every tenth of them twice. Returns what has to be seen, by kind."""
    wanted = {"status": 0, "reply": 0, "opt-out": 0}
    for index in range(first, first + count):
        number = f"2782{1000000 + index}"
        kind = index % 3
        for _ in range(2 if index % 10 == 0 else 1):
            if kind == 0:
                post(url, secret, "delivery-status", Id=500000 + index, Status="DELIVRD", PhoneNumber=number)
            else:
                post(url, secret, "reply", IncomingId=700000 + index, SourcePhoneNumber=number,
                     IncomingData="Yes" if kind == 1 else "Stop")
        wanted["status" if kind == 0 else "reply" if kind == 1 else "opt-out"] += 1
    return wanted


class Sample:
    """A sample as a process; what it prints is gathered over its lives."""

    def __init__(self, name, command, folder, environment):
        self.name, self.command = name, command
        self.output = folder / f"{name}.out"
        self.environment = {
            **os.environ, **environment, "GROUP": f"desk-{name}-{secrets.token_hex(4)}", "SEEN": str(folder / f"{name}.seen")}

    def start(self, idle):
        with open(self.output, "ab") as output:
            return subprocess.Popen(
                self.command, env={**self.environment, "IDLE": str(idle)}, stdout=output, stderr=subprocess.PIPE)

    def lines(self):
        return self.output.read_text().splitlines() if self.output.exists() else []

    def run(self, wanted, bridge, secret):
        process = self.start(60)
        deadline = time.monotonic() + 60
        while len(self.lines()) < 20 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        check(process.poll() is None, f"{self.name} runs", process.stderr.read()[-500:] if process.poll() is not None else "")
        process.send_signal(signal.SIGKILL)
        _, first = process.communicate(timeout=30)
        before = len(self.lines())
        process = self.start(20)
        try:
            _, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
        check(process.returncode == 0, f"{self.name} ends by itself", errors[-500:])
        check(b"no event: " in errors or b"no event: " in first, f"{self.name} tells of what is no event", errors[-500:])
        counts, ids = {}, []
        for line in self.lines():
            words = line.split()
            counts.setdefault(words[0], set()).add(words[-1])
            ids.append(words[-1])
        found = {kind: len(seen) for kind, seen in counts.items()}
        check(found == wanted, f"{self.name} sees every event", f"{found}, sent {wanted}")
        # Killed between the handling of an event and its being remembered, it may handle that one again.
        check(len(ids) - len(set(ids)) <= 1, f"{self.name} handles a repeat once", f"{len(ids) - len(set(ids))} again")
        check(before > 0, f"{self.name} was killed in the middle", f"{before} lines before")
        check(not re.search(r"\d{9}", " ".join(line.rsplit(" ", 1)[0] for line in self.lines())),
              f"{self.name} prints no whole number")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--bootstrap", required=True)
    arguments = parser.parse_args()
    asyncapi()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="consuming-"))
    prefix, secret = f"consuming-{secrets.token_hex(3)}", secrets.token_hex(16)
    bridge = Bridge.start(
        [arguments.binary], arguments.bootstrap, prefix, str(folder), "bridge",
        {"SMSBRIDGE_AUTH_HEADER_SECRETS": secret, "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true"})
    try:
        wanted = send(bridge.url, secret, 150, 0)
        # What no bridge writes, in the midst of it: nobody may stop at it.
        producer = Producer({"bootstrap.servers": arguments.bootstrap, "broker.address.family": "v4", "log_level": 0})
        for value in (b"{", b"[]", b"7", b'{"type":"reply"}'):
            for partition in range(len(producer.list_topics(f"{prefix}.reply", 10).topics[f"{prefix}.reply"].partitions)):
                producer.produce(f"{prefix}.reply", value, partition=partition,
                                 headers=[("ce_type", b"com.smsportal.reply.v1")])
        producer.flush(20)
        for kind, count in send(bridge.url, secret, 150, 150).items():
            wanted[kind] += count
        environment = {"KAFKA_BOOTSTRAP_SERVERS": arguments.bootstrap, "TOPIC_PREFIX": prefix}
        Sample("python", [sys.executable, str(ROOT / "Examples/python/consume.py")], folder, environment).run(
            wanted, bridge, secret)
        libs = os.environ.get("KAFKA_LIBS", "")
        if shutil.which("javac") and list(pathlib.Path(libs or "/nowhere").glob("kafka-clients*.jar")):
            subprocess.run(
                ["javac", "-cp", f"{libs}/*", "-d", str(folder), str(ROOT / "Examples/java/Consume.java")], check=True)
            Sample("java", ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", f"{libs}/*:{folder}", "Consume"],
                   folder, environment).run(wanted, bridge, secret)
        else:
            skipped.append("java")
            print("skipped: Java (needs javac, and KAFKA_LIBS: a folder with kafka-clients and Jackson)")
    finally:
        bridge.end()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 0)


main()
