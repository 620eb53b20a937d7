"""Faults of the consumer library's processes: what is in Kafka is handled, in order, by whoever is left."""

import random
import secrets
import time

from confluent_kafka import Consumer
from probes import Flock
from report import check

# The shortest that a broker allows: who was killed keeps its partitions for so long.
SESSION = 6
COMMIT = 1


def consumer_group(suite):
    """members of a consumer group killed, ended and started at random: all is handled, and in order"""
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    events, numbers = (200_000, 5_000) if suite.long else (60_000, 5_000)
    print(f"      consumer-group: seed {seed}, {events} events", flush=True)
    kills = ends = 0
    with Flock(suite, "consumer-group", events, numbers) as flock:
        options = ["--work", "20", "--concurrency", "16", "--commit-interval", str(COMMIT * 1_000),
                   "--property", f"session.timeout.ms={SESSION * 1_000}", "--property", "heartbeat.interval.ms=1000"]
        leaving = []
        limit = time.monotonic() + (500 if suite.long else 200)
        next_fault = time.monotonic() + 5
        while len(flock.handled) < events:
            share = len(flock.handled) / events
            wanted = 2 if share < 0.3 else 4 if share < 0.85 else 1
            while len(flock.members) < wanted:
                flock.start(*options)
            while len(flock.members) > wanted:
                leaving.append(flock.members.pop(chance.randrange(len(flock.members))))
                leaving[-1].terminate()
                ends += 1
            if time.monotonic() >= next_fault:
                probe = flock.members.pop(chance.randrange(len(flock.members)))
                if chance.random() < 0.6:
                    probe.kill()
                    kills += 1
                else:
                    probe.terminate()
                    leaving.append(probe)
                    ends += 1
                next_fault = time.monotonic() + chance.uniform(1, SESSION + 4)
                time.sleep(chance.choice([0, chance.uniform(0, 2)]))
            time.sleep(0.1)
            flock.alive()
            flock.read()
            check(time.monotonic() < limit, f"seed {seed}: {events - len(flock.handled)} events were not handled in time")
        for probe in leaving:
            flock.ended(probe)
        flock.end()
        flock.read()
        kinds, oldest = flock.repeats()
        print(f"      consumer-group: {len(flock.lines)} handled, {kills} kills, {ends} SIGTERMs; handled again: after kills "
              f"{kinds['killed']} (at most {oldest} ms old), after SIGTERM {kinds['ended']}, else {kinds['alive']}; partitions lost {flock.lost()} times", flush=True)
        with suite.report.case("consumer-group: every event was handled"):
            flock.check_all_handled()
        with suite.report.case("consumer-group: the events of a number were handled in order"):
            flock.check_order()
        with suite.report.case("consumer-group: only a kill makes events be handled again"):
            # A handler may outlive its time on a machine that stands still.
            check(kinds["ended"] + kinds["alive"] <= events // 1_000, f"{kinds}")
        with suite.report.case("consumer-group: what a kill repeats is younger than a commit's interval and a rebalance"):
            # A group that has lost a member unseen cannot commit while it joins anew, until that member's session ends.
            check(oldest <= (COMMIT + SESSION + 2) * 1_000, f"{oldest} ms")


def consumer_failures(suite):
    """one number's events always fail, another's take a minute: the rest goes on as if they were not there"""
    events, numbers = (200_000, 5_000) if suite.long else (50_000, 5_000)
    options = ["--work", "5", "--concurrency", "64", "--commit-interval", "500"]
    with Flock(suite, "consumer-failures", events, numbers) as flock:
        failing, sleeping = flock.number(17), flock.number(numbers // 2)
        without = (failing, sleeping)

        def rate(name, *more):
            flock.begin(f"{flock.prefix}-{name}")
            flock.start(*options, *more)
            flock.await_all(120, without)
            others = [line for line in flock.lines if line.number not in without]
            return len(others) * 1_000 / (others[-1].at - others[0].at)

        # What else a machine does comes and goes, and another pair tells; what these two numbers hold up stays held up.
        for turn in (1, 2, 3):
            control = rate(f"control-{turn}")
            flock.await_all(30)
            flock.end()
            disturbed = rate(f"disturbed-{turn}", "--fail-key", failing, "--sleep-key", sleeping)
            print(f"      consumer-failures: {control:.0f} events a second undisturbed, {disturbed:.0f} disturbed", flush=True)
            if disturbed >= 0.9 * control or turn == 3:
                break
            flock.end()
        with suite.report.case("consumer-failures: the other numbers' events are handled as fast as ever"):
            check(disturbed >= 0.9 * control, f"{disturbed:.0f} a second, {control:.0f} without")
        with suite.report.case("consumer-failures: what failed is in the dead-letter topic, in order, with its error"):
            check_dead_letters(flock, failing, [index for index in range(events) if flock.number(index) == failing])
        with suite.report.case("consumer-failures: the lag that the metrics tell is the lag that Kafka tells"):
            check_lag(flock)
        with suite.report.case("consumer-failures: it ends on SIGTERM while a handler sleeps"):
            flock.end()
        with suite.report.case("consumer-failures: the events of a number were handled in order"):
            flock.check_order()


def consumer_stuck(suite):
    """handlers that never return, and a long topic: memory is bounded, and what does not wait for them goes on"""
    events, numbers = (1_000_000, 5_000) if suite.long else (150_000, 5_000)
    with Flock(suite, "consumer-stuck", events, numbers) as flock:
        stuck = flock.number(17)

        def bounded(what):
            most = flock.members[0].memory()
            print(f"      consumer-stuck: {most:.0f} MB at most: {what}", flush=True)
            check(most <= suite.memory, f"{most:.0f} MB")

        with suite.report.case("consumer-stuck: one number's handler never returns: all others' events are handled"):
            flock.start("--concurrency", "64", "--sleep-key", stuck, "--sleep", "86400")
            flock.await_all(400 if suite.long else 120, (stuck,))
            check(not any(line.number == stuck for line in flock.lines), "its events were handled")
            bounded("one number's handler never returns")
            # Its partition's span tells how much is done and not committed.
            flock.check_order()
            flock.members.pop().kill()
        with suite.report.case("consumer-stuck: no handler returns: reading pauses, and memory stays as it is"):
            flock.begin(f"{flock.prefix}-all")
            flock.start("--concurrency", "64", "--work", "86400000")
            limit = time.monotonic() + 60
            # Before that, the signal that asks for the metrics would end it.
            while "partitions assigned" not in flock.members[0].errors():
                flock.alive()
                check(time.monotonic() < limit, "no partition was assigned after a minute")
                time.sleep(0.2)
            while not any(flock.members[0].metrics("smsportal_consumer_paused_partitions").values()):
                flock.alive()
                check(time.monotonic() < limit, "no partition was paused after a minute")
                time.sleep(1)
            before = flock.members[0].memory("VmRSS")
            time.sleep(20 if suite.long else 5)
            flock.alive()
            flock.read()
            check(not flock.lines, "events were handled")
            after = flock.members[0].memory("VmRSS")
            check(after <= before + 20, f"{before:.0f} MB, and {after:.0f} MB later")
            bounded("no handler returns")
            flock.members.pop().kill()


def consumer_access(suite):
    """a consumer by SASL_SSL with the least rights that docs/consuming.md names: they suffice, and without them it says what is missing"""
    if not suite.long and "consumer-access" not in suite.only:
        return suite.report.skip("consumer-access", "starts a broker with TLS and access control: --long")
    cluster = suite.extra_cluster(sasl=True)
    events, numbers = 2_000, 200
    with Flock(suite, "consumer-access", events, numbers, cluster=cluster) as flock:
        flock.way = f"localhost:{cluster.sasl_port}"
        failing = flock.number(17)
        options = ["--fail-key", failing, "--commit-interval", "200"]
        for name, value in (("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "bridge"),
                            ("sasl.password", "bridge-secret"), ("ssl.ca.location", f"{cluster.folder}/tls/ca.pem")):
            options += ["--property", f"{name}={value}"]

        def allow(*words):
            cluster.tool("acls", "--bootstrap-server", cluster.bootstrap, "--add", "--allow-principal", "User:bridge", *words)

        with suite.report.case("consumer-access: without rights it ends, and says which are missing"):
            probe = flock.start(*options)
            check(probe.process.wait(60) != 0, "it ended as if all were well")
            check(f"{flock.group}-dlt" in probe.errors() and "allow" in probe.errors(), probe.last_words())
            flock.members.clear()
        allow("--operation", "Read", "--group", flock.group)
        allow("--operation", "Read", "--topic", flock.topic)
        for topic, right in ((f"{flock.group}-dlt", "Write"), (f"{flock.group}-redrive", "Read")):
            allow("--operation", right, "--operation", "Create", "--topic", topic)
        with suite.report.case("consumer-access: with the least rights every event is handled, or a dead letter"):
            flock.start(*options)
            flock.await_all(90, (failing,))
            check_dead_letters(flock, failing, [index for index in range(events) if flock.number(index) == failing])
            flock.end()
            flock.check_order()


def check_dead_letters(flock, number, indexes):
    consumer = Consumer({"bootstrap.servers": flock.bootstrap, "group.id": f"{flock.group}-judge", "auto.offset.reset":
                         "earliest", "enable.auto.commit": False, "broker.address.family": "v4", "log_level": 0})
    try:
        consumer.subscribe([f"{flock.group}-dlt"])
        found, end = [], time.monotonic() + 30
        while len(found) < len(indexes) and time.monotonic() < end:
            found += [record for record in consumer.consume(100, 0.5) if not record.error()]
        found += [record for record in consumer.consume(1, 0.5) if not record.error()]
    finally:
        consumer.close()
    got = [(record.key(), next(f"order-{i}" for i in indexes if f'"order-{i}"'.encode() in record.value())) for record in found]
    check([reference for _, reference in got] == [f"order-{index}" for index in indexes], f"{len(indexes)} expected, got {got}")
    for record in found:
        check(number.encode() in record.key(), f"the key {record.key()}")
        headers = dict(record.headers())
        check(b"Failing" in headers.get("kafka_dlt-exception-fqcn", b""), f"its headers: {headers}")
        check(headers.get("kafka_dlt-original-topic") == flock.topic.encode(), f"its headers: {headers}")


def check_lag(flock):
    # The commit, and the metrics' next look.
    time.sleep(7)
    metrics = flock.members[0].metrics("smsportal_consumer_lag")
    mine = {}
    for labels, value in metrics.items():
        names = dict(part.split("=") for part in labels.replace('"', "").split(","))
        mine[names["topic"], int(names["partition"])] = int(value)
    kafka = {}
    for line in flock.cluster.tool("groups", "--bootstrap-server", flock.bootstrap, "--describe", "--group", flock.group).splitlines():
        columns = line.split()
        if len(columns) > 5 and columns[0] == flock.group and columns[5].isdigit():
            kafka[columns[1], int(columns[2])] = int(columns[5])
    check(any(kafka.values()), f"the sleeping number holds no partition back: {kafka}")
    # A partition without a commit has no lag of Kafka's, and nothing in it.
    check({place: mine.get(place) for place in kafka} == kafka, f"ours {mine}, Kafka's {kafka}")
