"""`smsbridge import`: the same ids as the webhook, exactly the hole of an outage, every format, kills, bounded memory."""

import csv
import datetime
import gzip
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from xml.sax.saxutils import escape

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Contract"))
from bridge import Bridge  # noqa: E402
from clusters import BEHIND_TRANSACTION, DAY, DELETED, DONE, EARLY, HOUR, USAGE, Area, now, result, said, shown, until  # noqa: E402
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import NewTopic  # noqa: E402

PARTLY = 3
ROOT = pathlib.Path(__file__).resolve().parents[2]
OPEN = {"SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true", "SMSBRIDGE_SHUTDOWN_DELAY": "0s",
        "SMSBRIDGE_SHUTDOWN_GRACE": "0s"}
TOPICS = ("delivery-status", "reply", "short-code", "url-preview", "url-click", "test", "quarantine")


def vendor_time(seconds):
    return time.strftime("%d/%b/%Y %H:%M:%S", time.gmtime(seconds + 2 * 3_600))


def moment(text):
    return datetime.datetime.fromisoformat(text)


class Callbacks:
    """Callbacks of every generation, all of the last hours. Number n is always the same one."""

    def __init__(self, start):
        self.start = start

    def __call__(self, number):
        """method, route, query, body; and whether its id can be matched."""
        at = self.start + number
        msisdn = f"2782{number % 9_000_000:07d}"
        kind = number % 6
        if kind == 0:
            query = {"ID": 100_000_000 + number, "EventID": 1, "Phonenumber": msisdn, "DataType": "SMS", "Data": "Text & more",
                     "SentDataTime": vendor_time(at), "Status": "DELIVRD", "CustomerID": "ref"}
            return "GET", "delivery-status", urllib.parse.urlencode(query), "", True
        if kind == 1:
            body = {"Status": "UNDELIV", "EventId": 7, "Mcc": 655, "Mnc": "01", "MsgCount": 1, "Msisdn": msisdn, "Received": at,
                    "UserReference": f"r-{number}"}
            return "POST", "delivery-status", "", json.dumps(body), True
        if kind == 2:
            body = {"To": "40001", "Id": 200_000_000 + number, "EventId": 9, "Message": f"ja, \"bitte\" ü {number}", "Msisdn": msisdn,
                    "Received": at}
            return "POST", "reply", "", json.dumps(body, ensure_ascii=False), True
        if kind == 3:
            body = {"id": 300_000_000 + number, "phoneNumber": msisdn, "incomingData": "Text", "sc": "40001", "keyword": "someone",
                    "incomingUtc": at}
            return "POST", "short-code", "", json.dumps(body), True
        if kind == 4:
            body = {"phoneNumber": msisdn, "customerId": f"c-{number}", "type": "REDIRECT", "interactionUtc": at,
                    "landingPageName": "Spring"}
            return "POST", "url-click", "", json.dumps(body), True
        # No id and no time: the id is made at reception.
        query = {"type": "REDIRECT", "customerRef": f"c-{number}", "msgNumTo": msisdn, "landingPageName": "Spring"}
        return "GET", "url-click", urllib.parse.urlencode(query), "", False

    def line(self, number):
        method, route, query, body, _ = self(number)
        content = {"contentType": "application/json", "body": body} if body else {"query": query}
        return json.dumps({"method": method, "route": f"/webhooks/{route}", "receivedAt": (self.start + number) * 1_000, **content})


def send(bridge, callbacks, numbers):
    """All of them through HTTP, by a few connections."""
    numbers, failures = iter(list(numbers)), []
    lock = threading.Lock()
    address = urllib.parse.urlparse(bridge.url)

    def work():
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            method, route, query, body, _ = callbacks(number)
            path = f"/webhooks/{route}" + (f"?{query}" if query else "")
            connection.request(method, path, body.encode() or None, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failures.append(answer.status)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise OSError(f"callbacks were not accepted: {failures[:3]}")


class Prefix(Area):
    """The topics of a bridge."""

    def __init__(self, stand, name, retention=-1, **more):
        super().__init__(stand, name, **more)
        names = [self.topic(topic) for topic in TOPICS]
        for future in self.admin.create_topics([NewTopic(name, 3, 1, config={"retention.ms": str(retention)}) for name in names]).values():
            future.result()
        until(lambda: all(
            name in known and len(known[name].partitions) == 3 for known in [self.admin.list_topics(timeout=10).topics] for name in names))

    def bridge(self, name):
        return Bridge.start([str(self.stand.options.binary)], self.bootstrap, self.prefix, str(self.folder),
                            f"{name}-{secrets.token_hex(2)}", OPEN)

    def events(self, *topics):
        """id → value, over topics; a repeat raises."""
        consumer = Consumer({**self.client, "group.id": "judge", "enable.auto.commit": False, "isolation.level": "read_committed",
                             "enable.partition.eof": True})
        open_ends = {(self.topic(topic), partition) for topic in topics or TOPICS for partition in range(3)}
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in open_ends])
        found, end = {}, time.monotonic() + 120
        while open_ends and time.monotonic() < end:
            for record in consumer.consume(5_000, 0.05):
                if record.error():
                    open_ends.discard((record.topic(), record.partition()))
                    continue
                value = json.loads(record.value())
                if value["id"] in found:
                    raise OSError(f"the event {value['id']} is there twice")
                found[value["id"]] = value
        consumer.close()
        if open_ends:
            raise OSError(f"not read to their ends: {sorted(open_ends)}")
        return found

    def imports(self, *arguments, limit=300, **more):
        return self.run("import", *map(str, arguments), limit=limit, **more)


def measured(words):
    """A command, the most memory that it took, in MiB, and how long it ran, in seconds."""
    began, memory = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(words, stdout=output, stderr=errors) as process:
            # What `wait4` counts includes this process, from before the program was loaded.
            while process.poll() is None:
                try:
                    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                    name = re.search(r"^Name:\s+(\S+)", status, re.M).group(1)
                    if name == "smsbridge":
                        memory = max(memory, int(re.search(r"^VmHWM:\s+(\d+)", status, re.M).group(1)) / 1_024)
                except (OSError, AttributeError):
                    pass
                time.sleep(0.01)
        output.seek(0)
        errors.seek(0)
        return (subprocess.CompletedProcess(words, process.returncode, output.read(), errors.read()), memory,
                time.monotonic() - began)


# The hole of an outage.
def outage(stand, check):
    count, hole = (10_000, range(4_000, 7_000)) if not stand.options.small else (600, range(200, 380))
    callbacks = Callbacks(int(time.time()) - 6 * 3_600)
    area, whole = Prefix(stand, "outage"), Prefix(stand, "whole")
    bridge = area.bridge("outage")
    try:
        send(bridge, callbacks, (number for number in range(count) if number not in hole))
    finally:
        bridge.end()
    bridge = whole.bridge("whole")
    try:
        send(bridge, callbacks, hole)
    finally:
        bridge.end()
    file = area.folder / f"{area.prefix}.ndjson"
    file.write_text("\n".join(callbacks.line(number) for number in range(count)) + "\n")
    matched = [number for number in hole if callbacks(number)[4]]
    before = area.events()
    done = area.imports(file, "--missing", "--json")
    report = result(done)
    check(done.returncode == DONE and report["missing"] == len(matched) and report["notComparable"] == sum(
        not callbacks(number)[4] for number in range(count)) and report["published"] == 0 and not report["executed"],
        "a dry run counts exactly the hole", shown(done))
    check(area.events().keys() == before.keys(), "and publishes nothing")
    done = area.imports(file, "--only-missing", "--execute", "--json")
    report, after = result(done), area.events()
    added = {identifier: value for identifier, value in after.items() if identifier not in before}
    expected = {identifier for identifier, value in whole.events().items() if value["idBasis"] != "reception"}
    check(done.returncode == PARTLY and report["published"] == len(matched), "exactly the hole is published", shown(done))
    check(set(added) == expected, "with the ids that the webhook would have had", f"{len(added)} {len(expected)}")
    check(all(value["raw"].get("imported") is True for value in added.values())
          and not any("imported" in value["raw"] for value in before.values()), "raw.imported says which were imported")
    check(added and all(moment(value["receivedAt"]) == moment(value["occurredAt"]) for value in added.values()),
          "they have the time of reception of their rows", list(added.values())[:1])
    done = area.imports(file, "--only-missing", "--execute", "--json")
    check(result(done)["published"] == 0, "a second run publishes nothing", shown(done))
    # What cannot be compared completely is not published.
    producer = Producer({**area.client, "transactional.id": area.prefix})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(area.topic("reply"), area.payload, b"27820000001")
    producer.flush(20)
    done = area.imports(file, "--only-missing", "--execute")
    check(done.returncode == BEHIND_TRANSACTION and said(done, "open transaction", "nothing was published"),
          "an open transaction: what is missing is not known", shown(done))
    producer.abort_transaction(20)
    partitions = area.admin.list_topics(area.topic("reply"), 10).topics[area.topic("reply")].partitions
    for future in area.admin.delete_records([TopicPartition(area.topic("reply"), p, 5) for p in partitions]).values():
        future.result()
    done = area.imports(file, "--only-missing", "--execute")
    check(done.returncode == DELETED and said(done, "has deleted records", "nothing was published"),
          "deleted records: what is missing is not known", shown(done))
    for one in (area, whole):
        one.end()


# Every format: the ids are those of the webhook, malformed rows are reported and stop nothing.
def table(rows, names, delimiter, path, encoding):
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(names)
        for row in rows:
            writer.writerow([row.get(name, "") for name in names])


def formats(stand, check):
    count = stand.options.rows
    area = Prefix(stand, "formats")
    folder = area.folder
    start = int(time.time()) - 24 * 3_600
    replies = [{"IncomingID": 400_000_000 + n, "Phonenumber": f"2782{n % 9_000_000:07d}", "IncomingData": f"Grüße; \"{n}\",\nzwei",
                "IncomingDataTime": vendor_time(start + n % 80_000), "SentID": 5, "EventID": 6} for n in range(count)]

    def report_of(name, words, expected, malformed, types, limit_mb=160):
        done, memory, seconds = measured(area.words("import", *map(str, words), "--json", "--max-errors", "1000000"))
        report = result(done)
        lines = [int(line) for line in re.findall(r"line (\d+): ", done.stderr)]
        check(report.get("rows") == expected and report.get("malformed") == len(malformed) and report.get("types") == types,
              f"{name}: rows, and what they are", f"{report} {done.stderr[-300:]}")
        check(lines == malformed, f"{name}: malformed rows by line", f"{lines[:5]} {malformed[:5]}")
        check(done.returncode == (PARTLY if malformed else DONE), f"{name}: exit code", shown(done))
        check(0 < memory < limit_mb, f"{name}: memory is bounded", f"{memory:.0f} MiB")
        print(f"      {name}: {expected} rows in {seconds:.1f} s, {memory:.0f} MiB", flush=True)
        return done

    # Of each format a few rows are broken, and the first ones go through the webhook, too.
    few = min(count, 300)
    bridge = area.bridge("formats")
    try:
        for row in replies[:few]:
            urllib.request.urlopen(f"{bridge.url}/webhooks/reply?{urllib.parse.urlencode(row)}", timeout=10).read()
    finally:
        bridge.end()
    ids = set(area.events("reply"))
    check(len(ids) == few, "the webhook has taken some")

    # CSV, in another encoding; each row takes two lines because of the line break in the text.
    path = folder / "replies.csv"
    table(replies, list(replies[0]), ";", path, "cp1252")
    text = path.read_bytes()
    lines = text.split(b"\r\n")
    broken = {count // 3: b"1;2;3", count // 2: b"x\"y;1;2;3;4;5"}
    for row, content in broken.items():
        lines.insert(row, content)
    path.write_bytes(b"\r\n".join(lines))
    malformed = [1 + 2 * (row - 1) + 1 - index for index, row in enumerate(sorted(broken))]
    report_of("CSV", [path, "--type", "reply", "--delimiter", ";", "--encoding", "windows-1252"], count + 2, malformed,
              {"reply": count})
    # Objects, compressed.
    path = folder / "replies.ndjson.gz"
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for number, row in enumerate(replies):
            if number == 10:
                file.write("{\"IncomingID\": \n")
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    report_of("objects, gzip", [path, "--type", "reply"], count + 1, [11], {"reply": count})
    # An access log.
    path = folder / "access.log"
    with open(path, "w", encoding="utf-8") as file:
        for number, row in enumerate(replies):
            stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0200", time.gmtime(start + number % 80_000 + 2 * 3_600))
            file.write(f'102.205.164.49 - - [{stamp}] "GET /webhooks/reply?{urllib.parse.urlencode(row)}&secret=geheim HTTP/1.1" 503 0 '
                       f'"-" "SMSPortal"\n')
            if number == 5:
                file.write(f'10.0.0.1 - - [{stamp}] "GET /webhooks/reply?IncomingID=1 HTTP/1.1" 200 4 "-" "-"\n')
                file.write("kaputt\n")
    done = report_of("access log", [path], count + 1, [8], {"reply": count})
    check(result(done)["skipped"] == {"answered with other statuses": 1}, "access log: answered requests are skipped", done.stdout)
    # The vendor's tables.
    path = folder / "replies.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<api_result>\n")
        names = {"replyid": "IncomingID", "numfrom": "Phonenumber", "receiveddata": "IncomingData", "received": "IncomingDataTime",
                 "sentid": "SentID", "eventid": "EventID"}
        for number, row in enumerate(replies):
            columns = "".join(f"<{column}>{escape(str(row[name]).replace(chr(10), ' '))}</{column}>" for column, name in names.items())
            file.write(f"<data>{columns}</data>\n")
            if number == 20:
                file.write("<data><replyid>1</replyid><receiveddata>Tom & Jerry</receiveddata></data>\n")
        file.write("<call_result><result>True</result><error /></call_result></api_result>\n")
    report_of("XML", [path], count + 1, [24], {"reply": count})
    # Callbacks of all types.
    callbacks = Callbacks(start)
    path = folder / "callbacks.ndjson"
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            file.write(callbacks.line(number) + "\n")
        file.write("[1]\n")
    types = {}
    for number in range(count):
        route = callbacks(number)[1]
        types[route] = types.get(route, 0) + 1
    done = report_of("callbacks", [path], count + 1, [count + 1], types)
    check(result(done)["idBasis"].get("reception") == sum(1 for n in range(count) if n % 6 == 5), "callbacks: by basis", done.stdout)
    # The rows that the webhook has taken are not missing, in whatever format they come.
    names = {"CSV": ["replies.csv", "--type", "reply", "--delimiter", ";", "--encoding", "windows-1252"],
             "objects": ["replies.ndjson.gz", "--type", "reply"], "access log": ["access.log"], "XML": ["replies.xml"]}
    for name, words in names.items():
        done, memory, seconds = measured(area.words("import", str(folder / words[0]), *words[1:], "--missing", "--json"))
        check(result(done).get("inKafka") == few and result(done).get("missing") == count - few,
              f"{name}: the ids are those of the webhook", shown(done))
        check(0 < memory < 160, f"{name}: memory is bounded while it compares", f"{memory:.0f} MiB")
        print(f"      {name}: compared in {seconds:.1f} s, {memory:.0f} MiB", flush=True)
    # Published from standard input.
    began = time.monotonic()
    with open(folder / "replies.xml", "rb") as file:
        done = area.imports("-", "--format", "xml", "--only-missing", "--execute", "--json", stdin=file)
    print(f"      XML from standard input: {count - few} published in {time.monotonic() - began:.1f} s", flush=True)
    check(result(done)["published"] == count - few, "from standard input", shown(done))
    check(len(area.events("reply")) == count, "all of them are there once")
    record = area.read("reply")[-1]
    check(b"geheim" not in b"".join(record.value() for record in area.read("reply")), "no secret of a log line is published")
    check(dict(record.headers())["ce_type"] == b"com.smsportal.reply.v1" and record.key() is not None, "with the bridge's headers and key")
    done, memory, seconds = measured(area.words("import", str(folder / "access.log"), "--only-missing", "--execute", "--json"))
    print(f"      access log: compared with all of them in {seconds:.1f} s, {memory:.0f} MiB", flush=True)
    check(result(done)["published"] == 0, "what came by one format is known in another", shown(done))
    area.end()


def details(stand, check):
    """Duplicates, the quarantine, old events, damaged files, wrong usage."""
    area = Prefix(stand, "details", retention=7 * DAY)
    folder = area.folder
    file = folder / "details.ndjson"
    recent, old = int(time.time()) - 3_600, int(time.time()) - 10 * 86_400
    rows = [{"Id": 1, "Message": "a", "Msisdn": "27821234567", "Received": recent}] * 3
    rows += [{"Id": 2, "Message": "b", "Msisdn": "27821234567", "Received": old}, {"Unsinn": 1}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = area.imports(file, "--type", "reply", "--json")
    report = result(done)
    check(done.returncode == PARTLY and report["duplicates"] == 2 and report["types"] == {"reply": 4}
          and report["quarantined"] == {"missing-fields: text": 1}, "duplicates and the quarantine are counted", shown(done))
    check("2782" not in done.stdout + done.stderr, "no number is printed")
    done = area.imports(file, "--type", "reply", "--execute", "--json")
    check(done.returncode == PARTLY and result(done)["published"] == 1 and result(done)["tooOld"] == 1
          and said(done, "retention.ms", "--timestamp now"), "what its topic would delete is not published", shown(done))
    check(len(area.read("quarantine")) == 0, "nor what is not understood")
    done = area.imports(file, "--type", "reply", "--execute", "--only-missing", "--timestamp", "now", "--json")
    check(result(done)["published"] == 1 and len(area.read("reply")) == 2, "--timestamp now", shown(done))
    value = [json.loads(record.value()) for record in area.read("reply") if b"replay-timestamp" in dict(record.headers())
             or "replay-timestamp" in dict(record.headers())]
    check(len(value) == 1 and value[0]["receivedAt"].startswith(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(old))),
          "keeps the time of reception in the event", value)
    done = area.imports(file, "--type", "reply", "--execute", "--quarantine", "--timestamp", "now", "--json")
    check(len(area.read("quarantine")) == 1, "--quarantine publishes what is not understood", shown(done))
    # Damaged files.
    packed = folder / "cut.ndjson.gz"
    data = gzip.compress(b"".join(json.dumps({"Id": n, "Message": "a", "Msisdn": "27821234567"}).encode() + b"\n" for n in range(5_000)))
    packed.write_bytes(data[:len(data) // 2])
    done = area.imports(packed, "--type", "reply", "--json")
    check(done.returncode == PARTLY and said(done, "gzip") and 0 < result(done)["rows"] < 5_000, "a compressed file that is cut", shown(done))
    packed.write_bytes(gzip.compress(b'{"Id":1,"Message":"a"}\n') + gzip.compress(b'{"Id":2,"Message":"b"}\n'))
    check(result(area.imports(packed, "--type", "reply", "--json"))["rows"] == 2, "a compressed file of two members")
    errors = folder / "errors.ndjson"
    broken = folder / "broken.ndjson"
    broken.write_text("x\n" * 100)
    done = area.imports(broken, "--type", "reply", "--errors-to", errors)
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    check(done.returncode == PARTLY and [line["line"] for line in lines] == list(range(1, 101)) and said(done, "and 80 more"),
          "--errors-to has every malformed row", shown(done))
    # Two files, one account.
    done = area.imports(file, broken, "--type", "reply", "--account", "other", "--json")
    check(result(done)["rows"] == 105 and result(done)["malformed"] == 100, "several files", shown(done))
    for name, words, code, text in (
        ("no such file", ["nowhere.ndjson"], 1, "cannot open"), ("an unknown ending", [folder / "x.dat"], USAGE, "--format"),
        ("CSV without a type", [folder / "x.csv"], USAGE, "--type"), ("a wrong type", [file, "--type", "repply"], USAGE, "did you mean"),
        ("a wrong encoding", [file, "--type", "reply", "--encoding", "klingon"], USAGE, "klingon"),
        ("a wrong delimiter", [file, "--type", "reply", "--delimiter", ";;"], USAGE, "--delimiter"),
        ("a name in a dry run", [file, "--type", "reply", "--name", "x"], USAGE, "--execute"),
        ("a name with standard input", ["-", "--format", "xml", "--name", "x", "--execute"], USAGE, "standard input"),
        ("--since without a comparison", [file, "--type", "reply", "--since", "1h"], USAGE, "--missing"),
        ("a folder", [folder, "--format", "xml"], 1, "folder"),
    ):
        done = area.imports(*words, stdin=subprocess.DEVNULL)
        check(done.returncode == code and said(done, text), f"wrong usage: {name}", shown(done))
    area.end()


def size(area, topic):
    """How many records a topic has ever got."""
    consumer = Consumer({**area.client, "group.id": "judge"})
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1] for number in partitions)
    except KafkaException:
        # A new topic may not have its leaders yet.
        return 0
    finally:
        consumer.close()


def killed(area, words, topic, rounds, chance, longest):
    """Runs a command again and again, and kills it with SIGKILL while it publishes; how many kills there were."""
    kills = 0
    while kills < rounds:
        before = size(area, topic)
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until(lambda one=process, count=before: one.poll() is not None or size(area, topic) > count, 60)
            try:
                process.wait(chance.uniform(0, longest))
                return kills
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    return kills


def import_kills(stand, check):
    """Killed at random moments; the same command resumes."""
    rounds = stand.options.kill_rounds
    count = rounds * 3_000
    area = Prefix(stand, "kills")
    start = int(time.time()) - 24 * 3_600
    file = area.folder / f"{area.prefix}.ndjson"
    with open(file, "w", encoding="utf-8") as lines:
        for n in range(count):
            lines.write(json.dumps({"Id": 500_000_000 + n, "Message": f"m {n}", "Msisdn": f"2782{n:07d}", "Received": start}) + "\n")
    words = area.words("import", str(file), "--type", "reply", "--name", area.prefix, "--execute", "--json")
    kills = killed(area, [*words, "--rate", "2000"], area.topic("reply"), rounds, random.Random(11), 1)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    found = [json.loads(record.value())["messageId"] for record in area.read("reply")]
    repeats = len(found) - len(set(found))
    # A busy machine may be too late for a kill: the number counts by hand only.
    check(stand.options.small or kills == rounds, "kills of import: it was killed while it published", kills)
    check(done.returncode == DONE and set(found) == {str(500_000_000 + n) for n in range(count)}, "kills of import: nothing is lost",
          f"{len(set(found))} of {count} {shown(done)}")
    check(repeats <= kills * 1_000, "kills of import: repeats are bounded", repeats)
    check((result(done).get("resumed") is True or kills == 0) and 0 <= count - result(done).get("total", 0) <= kills * 1_000, "kills of import: the total",
          shown(done))
    print(f"      {kills} kills of import: {repeats} of {count} events again", flush=True)
    again = subprocess.run(words, capture_output=True, text=True, timeout=60)
    check(again.returncode == DONE and result(again)["published"] == 0, "kills of import: a name is done once", shown(again))
    text = file.read_text()
    file.write_text(text[:-3] + " " + text[-2:])
    other = subprocess.run(words, capture_output=True, text=True, timeout=60)
    check(other.returncode == 1 and said(other, "another import has this name"), "kills of import: a name belongs to its file", shown(other))
    area.end()


def redrive_kills(stand, check):
    """dlt redrive, killed at random moments: every letter is redriven, repeats are bounded."""
    rounds = stand.options.kill_rounds
    count = rounds * (4_000 if stand.options.small else 14_000)
    group = f"kills-{secrets.token_hex(4)}"
    area = Area(stand, "redrive")
    area.prefix = group
    for name in (f"{group}-dlt", f"{group}-redrive"):
        area.admin.create_topics([NewTopic(name, 3, 1)])[name].result()
    producer = Producer({**area.client, "linger.ms": 10, "queue.buffering.max.messages": 200_000})
    for number in range(count):
        producer.produce(f"{group}-dlt", area.payload, b"%d" % number, headers=[("ce_id", b"%d" % number), (
            "kafka_dlt-original-topic", f"{group}.reply".encode())])
        producer.poll(0)
    producer.flush(60)
    words = [str(stand.options.binary), "dlt", "redrive", "--kafka-bootstrap-servers", area.bootstrap, "--group", group]
    kills = killed(area, words, f"{group}-redrive", rounds, random.Random(3), 0.2)
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    area.topic = lambda name: name
    found = [int(record.key()) for record in area.read(f"{group}-redrive")]
    repeats = len(found) - len(set(found))
    check(stand.options.small or kills == rounds, "kills of dlt redrive: it was killed while it published", kills)
    check(done.returncode == DONE and set(found) == set(range(count)), "kills of dlt redrive: nothing is lost",
          f"{len(set(found))} of {count} {shown(done)}")
    check(repeats <= kills * 1_000, "kills of dlt redrive: repeats are bounded", repeats)
    print(f"      {kills} kills of dlt redrive: {repeats} of {count} letters again", flush=True)
    area.admin.delete_topics([f"{group}-dlt", f"{group}-redrive", f"smsbridge-dlt-{group}"])


class Vendor(http.server.BaseHTTPRequestHandler):
    """The polling interface, as far as docs/reprocess.md uses it: rows behind a counter, at most 100 an answer."""

    replies = []

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        settings = form["XMLData"][0]
        last = int(re.search(r"<id>(\d+)</id>", settings).group(1))
        most = int(re.search(r"<max_recs>(\d+)</max_recs>", settings).group(1))
        rows = [row for row in self.replies if row["replyid"] > last][:min(most, 100)]
        body = "<api_result>" + "".join(
            "<data>" + "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in row.items()) + "</data>" for row in rows)
        body += "<call_result><result>True</result><error /></call_result></api_result>"
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def pulling(stand, check):
    """The loop of docs/reprocess.md as printed, against a vendor of the test's own."""
    area = Prefix(stand, "pulling")
    start = int(time.time()) - 12 * 3_600
    Vendor.replies = [{"replyid": 600_000_000 + n, "eventid": 1, "numfrom": f"2782{n:07d}", "receiveddata": f"Antwort & {n}",
                       "received": vendor_time(start + n), "sentid": 5, "sentdata": "", "sentdatetime": "", "sentcustomerid": "",
                       "optout": "false"} for n in range(350)]
    # The webhook has got the first 200, and then nothing.
    bridge = area.bridge("pulling")
    try:
        for row in Vendor.replies[:200]:
            query = {"IncomingID": row["replyid"], "Phonenumber": row["numfrom"], "IncomingData": row["receiveddata"],
                     "IncomingDataTime": row["received"], "SentID": 5, "EventID": 1}
            urllib.request.urlopen(f"{bridge.url}/webhooks/reply?{urllib.parse.urlencode(query)}", timeout=10).read()
    finally:
        bridge.end()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = (ROOT / "docs/reprocess.md").read_text()
        script = re.search(r"```sh\n(# Pull.*?)```", page, re.S).group(1)
        folder = area.folder / "pulled"
        folder.mkdir()
        environment = {**os.environ, "SMSPORTAL_URL": f"http://127.0.0.1:{server.server_port}/api5/http5.aspx", "SMSPORTAL_USER": "u",
                       "SMSPORTAL_PASSWORD": "p", "FIRST_ID": "0"}
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=60)
        pages = sorted(folder.glob("replies-*.xml"))
        check(done.returncode == 0 and len(pages) >= 4, "the loop of the documentation pulls all pages", shown(done))
        control = area.imports(pages[0], "--missing", "--json")
        check(result(control)["rows"] == 100 and result(control)["missing"] == 0, "the control stretch: all of it is in Kafka", shown(control))
        done = area.imports(*pages, "--only-missing", "--execute", "--json")
        check(done.returncode == DONE and result(done)["published"] == 150 and len(area.events("reply")) == 350,
              "and the rest is what was missed", shown(done))
    finally:
        server.shutdown()
    area.end()


SCENARIOS = (outage, formats, details, import_kills, redrive_kills, pulling)
