"""Faults of the consumer library's processes: what is in Kafka is handled, in order, by whoever is left."""

import random
import secrets
import time
from collections import Counter

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewPartitions
from probes import Flock, now
from report import check

# The shortest that a broker allows: who was killed keeps its partitions for so long.
SESSION = 6
COMMIT = 1


def consumer_group(suite):
    """members of a consumer group killed, ended and started at random: all is handled, and in order

    In the long form partitions are added, the broker is restarted, and a member without the handler comes and goes, too.
    """
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    events, numbers = (200_000, 5_000) if suite.long else (60_000, 5_000)
    timeout = 15
    print(f"      consumer-group: seed {seed}, {events} events", flush=True)
    kills = ends = 0
    done, coming, outages, strangers = Counter(), [], [], []
    with Flock(suite, "consumer-group", events, numbers) as flock:
        options = ["--work", "20", "--concurrency", "16", "--commit-interval", str(COMMIT * 1_000), "--shutdown-timeout", str(timeout * 1_000),
                   "--property", f"session.timeout.ms={SESSION * 1_000}", "--property", "heartbeat.interval.ms=1000",
                   "--property", "topic.metadata.refresh.interval.ms=5000"]
        leaving = []
        partitions = 12

        def disturb():
            """A fault that is no member's."""
            nonlocal partitions
            if not coming:
                coming.extend(chance.sample(["partitions", "broker", "stranger"], 3))
            kind = coming.pop()
            if kind == "partitions" and partitions < 24:
                partitions += 2
                flock.cluster.admin.create_partitions([NewPartitions(flock.topic, partitions)])[flock.topic].result()
                # Of new numbers: those of the others stay in their partitions. The group has not heard of the partitions yet.
                flock.fill(500, 500, first=flock.events, first_number=numbers + flock.events)
                flock.events += 500
            elif kind == "broker":
                began = now()
                flock.cluster.stop()
                flock.cluster.start()
                # What was handled shortly before could not be committed, and members join again.
                outages.append((began - (COMMIT + 2) * 1_000, now() + (SESSION + 2) * 1_000))
            elif strangers:
                leaving.append(strangers.pop())
                leaving[-1].terminate()
            else:
                flock.start("--handle", "reply", *options)
                strangers.append(flock.members.pop())
            done[kind] += 1

        limit = time.monotonic() + (500 if suite.long else 200)
        next_fault = time.monotonic() + 5
        next_disturbance = time.monotonic() + 10 if suite.long else float("inf")
        while len(flock.handled) < flock.events:
            share = len(flock.handled) / flock.events
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
            if time.monotonic() >= next_disturbance and share < 0.85:
                disturb()
                next_disturbance = time.monotonic() + chance.uniform(4, 12)
            time.sleep(0.1)
            flock.alive()
            flock.read()
            check(time.monotonic() < limit, f"seed {seed}: {flock.events - len(flock.handled)} events were not handled in time")
        for probe in strangers:
            probe.terminate()
        for probe in leaving + strangers:
            flock.ended(probe)
        flock.end()
        flock.read()
        kinds, oldest = flock.repeats(outages)
        print(f"      consumer-group: {len(flock.lines)} handled, {kills} kills, {ends} SIGTERMs, {dict(done)}; handled again: after kills "
              f"{kinds['killed']} (at most {oldest} ms old), after SIGTERM {kinds['ended']}, in outages {kinds['outage']}, else "
              f"{kinds['alive']}; partitions lost {flock.lost()} times", flush=True)
        with suite.report.case("consumer-group: every event was handled"):
            flock.check_all_handled()
        with suite.report.case("consumer-group: the events of a number were handled in order"):
            flock.check_order(events)
        with suite.report.case("consumer-group: only a kill makes events be handled again"):
            # A handler may outlive its time on a machine that stands still.
            check(kinds["ended"] + kinds["alive"] <= events // 1_000, f"{kinds}")
        with suite.report.case("consumer-group: what a kill repeats is younger than a commit's interval and a rebalance"):
            # A group that has lost a member unseen cannot commit while it joins anew, until that member's session ends.
            check(oldest <= (COMMIT + SESSION + 2) * 1_000, f"{oldest} ms")
        with suite.report.case("consumer-group: a member ends within its shutdown timeout and a second"):
            longest = max((probe.exited - probe.ended for probe in leaving if probe.exited), default=0)
            print(f"      consumer-group: the longest shutdown took {longest} ms", flush=True)
            # The end of a process is not part of the promise, and a busy machine may be a second late.
            check(longest <= timeout * 1_000 + 2_200, f"{longest} ms")


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


def consumer_one_number(suite):
    """one number has more unfinished events than are held at once: the others are handled, and it loses nothing"""
    mine, others = 12_000, 768
    with Flock(suite, "consumer-one-number", 0, 1, partitions=2) as flock:
        # All of the one number's events are before those of the others.
        flock.fill(mine, 1)
        flock.fill(others, 48, first=mine, first_number=100)
        number = flock.number(0)
        for name, how in (("failing", ["--fail-key", number, "--attempts", "5", "--backoff", "1000"]),
                          ("slow", ["--sleep-key", number, "--sleep", "1"])):
            flock.begin(f"{flock.prefix}-{name}")
            flock.start("--concurrency", "64", *how)
            with suite.report.case(f"consumer-one-number: {name}: the events of all other numbers are handled"):
                began = time.monotonic()
                flock.await_handled(range(mine, mine + others), 90)
                print(f"      consumer-one-number: {name}: {others} events of others after {time.monotonic() - began:.1f} s", flush=True)
                check("events released" in flock.members[0].errors(), f"nothing was released: {flock.members[0].last_words()}")
                released = sum(flock.members[0].metrics("smsportal_consumer_released_events_total").values())
                check(released > 0, "the metric of released events is 0")
            flock.members.pop().kill()
        flock.begin(f"{flock.prefix}-all")
        flock.start("--concurrency", "64", "--sleep-key", number, "--sleep-ms", "1", "--commit-interval", "200")
        with suite.report.case("consumer-one-number: released events are read again and handled, in order"):
            flock.await_handled(range(mine, mine + others), 90)
            flock.await_handled(range(mine + others), 150)
            indexes = [line.index for line in flock.lines if line.number == number]
            check(indexes == sorted(indexes), "the events of the number were not handled in order")
            check(len(indexes) == mine, f"{len(indexes)} were handled, not {mine}")
            check("events released" in flock.members[0].errors(), "nothing was released: nothing was proven")
        with suite.report.case("consumer-one-number: everything is committed at the end"):
            flock.end()
            check(flock.committed() == mine + others, f"{flock.committed()} of {mine + others} are committed")


def consumer_redrive(suite):
    """dead letters are redriven while the members of the group differ: none is lost"""
    events = 60
    with Flock(suite, "consumer-redrive", events, events) as flock:
        handler = ["--commit-interval", "200", "--property", "topic.metadata.refresh.interval.ms=2000"]
        with_handler = flock.start(*handler)
        flock.await_all(30)
        flock.start("--handle", "reply", *handler)
        records = flock.records(flock.topic, events)
        before = len(flock.lines)
        flock.await_members(2)
        # As `smsbridge dlt redrive` writes them.
        headers = [("kafka_dlt-original-topic", flock.topic.encode()), ("kafka_dlt-attempts", (5).to_bytes(4, "big"))]
        flock.produce(f"{flock.group}-redrive", [(r.key(), r.value(), (r.headers() or []) + headers) for r in records])

        def handled():
            flock.alive()
            flock.read()
            return {line.index for line in flock.lines[before:]}

        end, returned = time.monotonic() + 60, []
        with suite.report.case("consumer-redrive: what a member cannot handle goes back to the dead letters, with a cause of its own"):
            while time.monotonic() < end and len(handled()) + len(returned) < events:
                returned = flock.records(f"{flock.group}-dlt", None)
                time.sleep(0.2)
            check(returned, "no event was read by the member without the handler: nothing was proven")
            for record in returned:
                check(dict(record.headers()).get("kafka_dlt-exception-fqcn") == b"NoHandler", f"its headers: {record.headers()}")
        with suite.report.case("consumer-redrive: no redriven event is lost"):
            flock.members[-1].terminate()
            flock.ended(flock.members.pop())
            flock.produce(f"{flock.group}-redrive", [(r.key(), r.value(), r.headers()) for r in returned])
            end = time.monotonic() + 60
            while time.monotonic() < end and len(handled()) < events:
                time.sleep(0.1)
            check(len(handled()) == events, f"{events - len(handled())} of {events} were never handled again, {len(returned)} were returned")
        check(with_handler.process.poll() is None, "the member with the handler has ended")
        flock.end()


def consumer_shutdown(suite):
    """Kafka suspended or gone, with work that is not committed: a member ends in time all the same"""
    timeout = 3
    # A broker that was killed takes its time to come back.
    faults = ["suspended", "unreachable"] * (5 if suite.long else 1) + (["killed"] if suite.long else [])
    with Flock(suite, "consumer-shutdown", 20_000, 500) as flock:
        flock.way = flock.cluster.through
        for turn, fault in enumerate(faults):
            flock.begin(f"{flock.prefix}-{turn}")
            probe = flock.start("--work", "20", "--commit-interval", "60000", "--shutdown-timeout", str(timeout * 1_000))
            flock.await_handled_count(200, 30)
            with suite.report.case(f"consumer-shutdown: Kafka {fault}: it ends within its shutdown timeout and a second"):
                if fault == "suspended":
                    flock.cluster.pause()
                elif fault == "unreachable":
                    flock.cluster.proxy.tell("hold")
                    flock.cluster.proxy.tell("cut")
                else:
                    flock.cluster.stop(kill=True)
                try:
                    time.sleep(1)
                    began = time.monotonic()
                    probe.terminate()
                    flock.ended(probe, timeout + 10)
                    took = time.monotonic() - began
                    print(f"      consumer-shutdown: Kafka {fault}: {took:.2f} s", flush=True)
                    # The end of a process is not part of the promise, and a busy machine may be a second late.
                    check(took <= timeout + 2.2, f"{took:.1f} s")
                    check("not committed" in probe.errors() or "shutdown timed out" in probe.errors(), probe.last_words())
                finally:
                    flock.members.clear()
                    flock.cluster.resume_all()
                    flock.cluster.proxy.tell("pass")
                    if fault == "killed":
                        flock.cluster.start()
        flock.begin(f"{flock.prefix}-healthy")
        probe = flock.start("--work", "20", "--commit-interval", "60000", "--shutdown-timeout", str(timeout * 1_000))
        flock.await_handled_count(200, 30)
        with suite.report.case("consumer-shutdown: with Kafka, what was handled is committed before the end"):
            began = time.monotonic()
            flock.end()
            check(time.monotonic() - began <= timeout + 2.2, f"{time.monotonic() - began:.1f} s")
            flock.read()
            committed, handled = flock.committed(), len(flock.lines)
            check(committed == handled, f"{handled} handled, {committed} committed")


def consumer_latest(suite):
    """a group that begins at the end: partitions that are added later lose nothing"""
    with Flock(suite, "consumer-latest", 200, 50, partitions=2) as flock:
        flock.start("--start-at", "latest", "--commit-interval", "500", "--property", "topic.metadata.refresh.interval.ms=4000")
        flock.await_log("partitions assigned", 30)
        flock.fill(100, 50, first=200)
        with suite.report.case("consumer-latest: it handles events after the first join, and none before"):
            flock.await_handled(range(200, 300), 60)
        flock.cluster.admin.create_partitions([NewPartitions(flock.topic, 6)])[flock.topic].result()
        # Before the group hears of them.
        flock.fill(400, 50, first=300)
        with suite.report.case("consumer-latest: what is in partitions before the group has heard of them is handled"):
            flock.await_handled(range(300, 700), 60)
            check(not flock.handled & set(range(200)), "what came before the first join was handled")
        flock.end()


def consumer_leaderless(suite):
    """a group that begins at the end, and a partition without a leader: the others are read, and it begins where it ended"""
    cluster = suite.extra_cluster(nodes=3, properties=["broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500"])
    with Flock(suite, "consumer-leaderless", 0, 50, partitions=3, cluster=cluster) as flock:
        flock.await_leader({0, 1, 2}, set())
        leaders = {p.id: p.leader for p in cluster.admin.list_topics(flock.topic, timeout=10).topics[flock.topic].partitions.values()}
        # Not the first node: it is the way in.
        away = next(node for node in leaders.values() if node != 1)
        flock.fill(300, 50)
        cluster.stop(kill=True, node=away)
        flock.await_leader(set(leaders) - {p for p, node in leaders.items() if node == away}, {p for p, node in leaders.items() if node == away})
        flock.start("--start-at", "latest", "--commit-interval", "500", "--property", "topic.metadata.refresh.interval.ms=4000")
        with suite.report.case("consumer-leaderless: a partition without a leader does not keep the others unassigned"):
            flock.await_log("partitions assigned", 30)
        led = [p for p, node in leaders.items() if node != away]
        first = flock.fill_partitions(led, 100, first=300)
        with suite.report.case("consumer-leaderless: events of the other partitions are handled"):
            flock.await_handled(range(300, 300 + first), 60)
        cluster.start()
        flock.await_leader(set(leaders), set())
        # Before the member asks again, perhaps.
        second = flock.fill_partitions(list(leaders), 100, first=300 + first)
        with suite.report.case("consumer-leaderless: the partition begins where it ended when the group joined"):
            flock.await_handled(range(300 + first, 300 + first + second), 60)
        with suite.report.case("consumer-leaderless: what came before the first join was not handled"):
            check(not flock.handled & set(range(300)), f"{len(flock.handled & set(range(300)))} were")
        flock.end()


def consumer_recreated(suite):
    """the topic is deleted and created again while a group reads it: the new one is read from its beginning"""
    with Flock(suite, "consumer-recreated", 300, 50, partitions=2) as flock:
        flock.start("--commit-interval", "500", "--property", "topic.metadata.refresh.interval.ms=4000")
        flock.await_all(30)
        time.sleep(1.5)
        check(flock.committed() == 300, f"{flock.committed()} committed")
        flock.recreate(partitions=2)
        flock.fill(900, 50, first=300)
        with suite.report.case("consumer-recreated: all events of the new topic are handled"):
            flock.await_handled(range(300, 1_200), 60)
        with suite.report.case("consumer-recreated: it says so, in the log and in a metric"):
            check("deleted and created again" in flock.members[0].errors(), flock.members[0].last_words())
            check(sum(flock.members[0].metrics("smsportal_consumer_topics_recreated_total").values()) > 0, "the metric is 0")
        flock.end()
        with suite.report.case("consumer-recreated: a restart goes on where the group was"):
            flock.begin(flock.group)
            flock.start()
            flock.fill(100, 50, first=1_200)
            flock.await_handled(range(1_200, 1_300), 60)
            check(len(flock.lines) == 100, f"{len(flock.lines)} were handled")
            flock.end()


def consumer_transactions(suite):
    """events written in transactions: the markers behind the last one count as done"""
    with Flock(suite, "consumer-transactions", 30, 30, partitions=1) as flock:
        template = flock.records_of(0, 1)[0]
        producer = Producer({"bootstrap.servers": flock.bootstrap, "transactional.id": flock.prefix, "broker.address.family": "v4",
                             "log_level": 0})
        producer.init_transactions(20)
        for turn in range(6):
            producer.begin_transaction()
            producer.produce(flock.topic, template.value(), template.key(), headers=template.headers())
            producer.flush(20)
            if turn % 2:
                producer.abort_transaction(20)
            else:
                producer.commit_transaction(20)
        probe = flock.start("--commit-interval", "200")
        with suite.report.case("consumer-transactions: the group's position is the end of the partition, and its lag is 0"):
            end = time.monotonic() + 40
            while time.monotonic() < end and flock.committed() < 42:
                flock.alive()
                time.sleep(0.1)
            check(flock.committed() == 42, f"{flock.committed()} committed, of 42 offsets")
            while time.monotonic() < end + 10 and (lag := lag_of(probe, flock.topic)) != 0:
                time.sleep(0.5)
            check(lag == 0, f"a lag of {lag}")
        flock.read()
        with suite.report.case("consumer-transactions: what was committed was handled, and what was aborted was not"):
            check(len(flock.lines) == 33, f"{len(flock.lines)} handled")
        flock.end()


def lag_of(probe, topic):
    return sum(value for labels, value in probe.metrics("smsportal_consumer_lag").items() if f'topic="{topic}"' in labels)


def consumer_topics(suite):
    """a broker is away at the first start of a group: its dead-letter topics are as durable as the event topics nevertheless"""
    if not suite.long and "consumer-topics" not in suite.only:
        return suite.report.skip("consumer-topics", "starts three brokers, 40 seconds: --long")
    cluster = suite.extra_cluster(nodes=3, properties=["broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500"])
    with Flock(suite, "consumer-topics", 100, 50, partitions=3, cluster=cluster, replication=3) as flock:
        letters = f"{flock.group}-dlt"
        failing = flock.number(7)
        flock.await_leader({0, 1, 2}, set())
        cluster.stop(kill=True, node=3)
        flock.await_brokers(2)
        flock.start("--commit-interval", "200", "--fail-key", failing)
        # Kafka may assign a copy to the broker that is away, or refuse; then the group waits for it.
        with suite.report.case("consumer-topics: with a broker away the events are handled"):
            flock.await_all(30, (failing,))
        cluster.start()
        with suite.report.case("consumer-topics: its topics are as durable as the event topics, and what failed is a dead letter"):
            flock.await_topic(letters, 40)
            found = cluster.admin.list_topics(letters, timeout=10).topics[letters].partitions.values()
            check(all(len(p.replicas) == 3 for p in found), f"replicas {[p.replicas for p in found]}")
            check(flock.configured(letters, "min.insync.replicas") == "2", "min.insync.replicas is not 2")
            check_dead_letters(flock, failing, [index for index in range(100) if flock.number(index) == failing])
        cluster.admin.delete_topics([letters])[letters].result()
        flock.await_topic(letters, 20, exists=False)
        flock.fill(50, 50, first=100)
        with suite.report.case("consumer-topics: a dead-letter topic that is deleted is created again while the group runs"):
            flock.await_topic(letters, 60)
            check_dead_letters(flock, failing, [index for index in range(100, 150) if flock.number(index) == failing])
        flock.end()


def consumer_cluster(suite):
    """the address leads to another cluster: the group does not go on at the offsets of the old one"""
    if not suite.long and "consumer-cluster" not in suite.only:
        return suite.report.skip("consumer-cluster", "starts two clusters, 40 seconds: --long")
    cluster = suite.extra_cluster()
    with Flock(suite, "consumer-cluster", 500, 50, partitions=2, cluster=cluster) as flock:
        flock.start("--commit-interval", "200", "--property", "topic.metadata.refresh.interval.ms=4000")
        flock.await_all(30)
        before = cluster.admin.list_topics(timeout=10).cluster_id
        cluster.stop(kill=True)
        cluster.wipe(keeps_id=False)
        cluster.start()
        after = cluster.admin.list_topics(timeout=10).cluster_id
        check(before != after, "it is the same cluster")
        flock.create_topic(2)
        flock.fill(900, 50, first=500)
        with suite.report.case("consumer-cluster: everything in the new cluster is handled"):
            flock.await_handled(range(500, 1_400), 60)
        with suite.report.case("consumer-cluster: the log names both clusters, and a metric counts the change"):
            flock.await_log("leads to another cluster", 10)
            text = flock.members[0].errors()
            check("leads to another cluster" in text and before in text and after in text, flock.members[0].last_words())
            check(sum(flock.members[0].metrics("smsportal_consumer_cluster_changes_total").values()) > 0, "the metric is 0")
        flock.end()


def consumer_eager(suite):
    """another member of the group assigns partitions by an eager strategy: the log says so"""
    with Flock(suite, "consumer-eager", 10, 10, partitions=1) as flock:
        other = Consumer({"bootstrap.servers": flock.bootstrap, "group.id": flock.group, "partition.assignment.strategy": "range",
                          "broker.address.family": "v4", "log_level": 0})
        try:
            other.subscribe([flock.topic])
            end = time.monotonic() + 15
            while not other.assignment() and time.monotonic() < end:
                other.poll(0.2)
            check(other.assignment(), "the other member has not joined")
            flock.start()
            with suite.report.case("consumer-eager: the log says what to do"):
                while time.monotonic() < end + 10 and "eager strategy" not in flock.members[0].errors():
                    other.poll(0.1)
                    flock.alive()
                check("eager strategy" in flock.members[0].errors(), flock.members[0].last_words())
        finally:
            other.close()
        with suite.report.case("consumer-eager: once the other member is gone, it joins and handles everything"):
            flock.await_all(30)
        flock.end()


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
