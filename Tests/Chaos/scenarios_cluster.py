"""Another cluster, or an empty one, behind the same address; topics and partitions that go away; rejected records."""

import os
import struct
import threading
import time

from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType)
from report import check
from scenarios_kafka import make_topics, ordered
from stand import Stand, eventually

from cluster import Cluster, Switch
from ledger import TOPICS, percentile
from reader import Reader, Readers

EVERY_TOPIC = [*TOPICS, "test", "quarantine"]


def one_by_one(stand, count, rate=50, **options):
    """So many events of one number, each a batch of its own."""
    load = stand.load(rate, 30, connections=1, numbers=1, topics=["reply"], count=count, **options)
    load.finish()
    check(load.summary["sent"] == count, f"{load.summary['sent']} of {count} events were sent")
    return load


# A machine under load is not taken for a late cluster: an event that goes to the spool comes to Kafka in a larger batch.
PATIENT = {"SMSBRIDGE_PUBLISH_HEDGE": "700ms"}


def warm_up(stand, cluster, topic):
    """The first event of a bridge waits for its connections, and for the leaders of new topics."""
    one_by_one(stand, 1)
    check(eventually(lambda: batches(cluster, topic), 10), "the first event is not in the log")
    time.sleep(0.2)


def batches(cluster, topic):
    """(producer id, first sequence number, records) of the batches of a topic, from its log files."""
    found = []
    for node in range(1, cluster.nodes + 1):
        folder = os.path.join(cluster.folder, f"node-{node}")
        for name in sorted(os.listdir(folder)):
            if name.rpartition("-")[0] != topic:
                continue
            for file in sorted(os.listdir(os.path.join(folder, name))):
                if not file.endswith(".log"):
                    continue
                with open(os.path.join(folder, name, file), "rb") as log:
                    data = log.read()
                at = 0
                while at + 61 <= len(data):
                    producer, _, first, records = struct.unpack_from(">qhii", data, at + 43)
                    found.append((producer, first, records))
                    at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    return found


def sequence_after(cluster, topic, producer=None, singles=0):
    """Of a producer, by default the only one: its id, and the sequence number of its next batch to the one partition of this
    topic that is used.

    - singles: so many of the last batches must have had one record, or what is to look like them would not."""
    check(eventually(lambda: any(producer in (None, one[0]) for one in batches(cluster, topic)), 5), "no batch is in the log")
    found = [one for one in batches(cluster, topic) if producer in (None, one[0])]
    check(len({one[0] for one in found}) == 1, f"batches of several producers: {found}")
    check(all(records == 1 for _, _, records in found[-singles:] if singles), f"batches of several records: {found}")
    return found[-1][0], found[-1][1] + found[-1][2]


def align_producer_ids(switch, clusters):
    """The first nodes of both clusters give the same producer id next. The switch must lead to no other nodes."""
    def use(index):
        switch.tell(f"target {index}")
        switch.tell("cut")
        return clusters[index].use_producer_id(switch.bootstrap)

    used = [use(0), use(1)]
    while used[0] != used[1]:
        behind = used.index(min(used))
        used[behind] = use(behind)


def start_both(suite, **options):
    """Two clusters at the same time."""
    made, threads = [None, None], []
    for index in range(2):
        def make(index=index):
            made[index] = suite.extra_cluster(**options)
        threads.append(threading.Thread(target=make))
        threads[-1].start()
    for thread in threads:
        thread.join()
    check(all(made), "a cluster did not start")
    return made


def report_of_cluster_change(stand, old, new, held=False):
    stand.expect_metric("smsbridge_kafka_cluster_changes_total")
    stand.expect_alert("cluster", old, new)
    stand.expect_log("Kafka cluster changed", old, new, "previous", "current")
    stand.expect_finding("cluster")
    if held:
        stand.expect_metric("smsbridge_kafka_unconfirmed_reports_total")


def take_over_producer_id(second, cluster, topic, wanted, upto):
    """Restarts the second instance, which gets this producer id if it is the next one, and sends single batches until the next
    sequence number is `upto`.

    - Returns: the loads that it had, and whether it has got the id."""
    second.start()
    loads = [one_by_one(second, 1)]
    time.sleep(0.3)
    if wanted not in {one[0] for one in batches(cluster, topic)}:
        return loads + [one_by_one(second, upto - 1)], False
    # It may have had events in its spool.
    _, reached = sequence_after(cluster, topic, wanted)
    loads.append(one_by_one(second, upto - reached))
    time.sleep(0.3)
    _, reached = sequence_after(cluster, topic, wanted, singles=5)
    check(reached == upto, f"the next sequence number is {reached}, not {upto}")
    return loads, True


def cluster_switched(suite):
    """the address leads to another cluster, which gives a restarted instance the producer id that the other one holds"""
    clusters = start_both(suite, nodes=3 if suite.long else 1)
    with Switch(*clusters) as switch, Switch(*clusters) as other_switch:
        # A producer gets its id from whichever node it has reached first.
        other_switch.tell("only 1")
        for partitions in (1, 6):
            for in_flight in (False, True):
                switched(suite, switch, other_switch, clusters, partitions, in_flight)


def switched(suite, switch, other_switch, clusters, partitions, in_flight):
    """One instance keeps running while the address is switched, the other one is restarted.

    A broker takes a batch for a duplicate when producer id, first and last sequence number are those of one of the last five
    of its partition. So the second instance, which has got the id that the first one holds, sends as many batches to the new
    cluster as make the next ones of the first instance look like them.

    - in_flight: whether the first instance has sent batches that the old cluster has not acknowledged: librdkafka sends them
      again right after it has connected to the new one.
    """
    old, new = clusters
    switch.tell("target 0")
    switch.tell("only 1")
    switch.tell("cut")
    with Stand(suite, "cluster-switched", cluster=old, bootstrap=switch.bootstrap, partitions=partitions,
               replication=old.nodes, environment=PATIENT) as stand:
        stand.tell(f"{partitions} partitions, {'batches in flight' if in_flight else 'nothing in flight'}")
        for cluster in clusters:
            make_topics(cluster, stand.prefix, EVERY_TOPIC, partitions, leader=1)
        reader, topic = stand.read(old, new), f"{stand.prefix}.reply"
        align_producer_ids(other_switch, clusters)
        stand.start()
        warm_up(stand, old, topic)
        one_by_one(stand, 5)
        held, following = sequence_after(old, topic)
        switch.tell(f"only {old.nodes}")
        other_switch.tell("target 0")
        with Stand(suite, "cluster-switched", cluster=old, bootstrap=other_switch.bootstrap, prefix=stand.prefix,
                   partitions=partitions, replication=old.nodes, environment=PATIENT) as other:
            other.start()
            stand.loads.append(one_by_one(other, 2))
            other.terminate(30)
            load = stand.load(300, 600, numbers=3, topics=["delivery-status", "url-click"]) if not in_flight else None
            if load:
                load.answered_more(50, 20)
            else:
                burst = send_without_acknowledgement(stand, old)
            for one in (switch, other_switch):
                one.tell("target 1")
            if load:
                switch.tell("cut")
            taken, has_id = take_over_producer_id(other, new, topic, held, following + 5)
            stand.loads += taken
            if in_flight:
                # The first instance, which has not reconnected yet, cannot have taken it.
                with stand.case("both instances have the same producer id, of different clusters"):
                    check(has_id, f"{held} was not given: {batches(new, topic)}")
                switch.tell("cut")
                time.sleep(0.5)
            one_by_one(stand, 12)
            old.resume_all()
            if load:
                load.answered_more(300, 20)
                load.stop()
            report_of_cluster_change(stand, old.id(), new.id(), held=in_flight)
            stand.judge(within=10)
            stand.figures(producer_id=held, also_held_by_the_second=has_id,
                          in_flight=len(burst.entries) if in_flight else None,
                          replies_in_the_new_cluster=sum(c.topic == "reply" for c in reader.readers[1].first.values()))


def send_without_acknowledgement(stand, cluster, count=4):
    """The cluster hangs, and so many batches are on their way to it. Their callers are answered from the spool."""
    for node in range(1, cluster.nodes + 1):
        cluster.pause(node)
    burst = stand.load(200, 30, connections=count, numbers=1, topics=["reply"], count=count)
    burst.finish()
    return burst


def cluster_wiped(suite):
    """the broker comes back at its address without its data: with another cluster id, and with the same one"""
    cluster = suite.extra_cluster()
    with Switch(cluster, cluster) as switch:
        wiped(suite, switch, cluster, keeps_id=False, collides=True)
        wiped(suite, switch, cluster, keeps_id=True, collides=False)
        # Under the same id, and with a new log that is longer than the old one, only a record that is read back shows it.
        wiped(suite, switch, cluster, keeps_id=True, collides=True, audit=True)


def wiped(suite, switch, cluster, keeps_id, collides, audit=False, partitions=1):
    """- collides: whether a restarted instance has written to the new log, with the producer id that the other one holds,
    before that one reconnects."""
    environment = PATIENT | ({"SMSBRIDGE_DURABILITY_AUDIT": "true"} if audit else {})
    with Stand(suite, "cluster-wiped", cluster=cluster, bootstrap=switch.bootstrap, partitions=partitions,
               environment=environment) as stand:
        stand.tell(f"{'the same' if keeps_id else 'another'} cluster id, the same producer id {'twice' if collides else 'once'}, "
                   f"audit {'on' if audit else 'off'}")
        make_topics(cluster, stand.prefix, EVERY_TOPIC, partitions)
        topic, old_id = f"{stand.prefix}.reply", cluster.id()
        stand.start()
        warm_up(stand, cluster, topic)
        one_by_one(stand, 5)
        held, following = sequence_after(cluster, topic)
        before = Reader(cluster, stand.prefix)
        with stand.case("the old log is read before it is wiped"):
            check(before.settle(20), "it is not")
        before.close()
        # What the first instance has in flight never gets an answer from the old log, and is not in it: a suspended process
        # reads nothing before it is killed.
        burst = send_without_acknowledgement(stand, cluster)
        switch.tell("target -1")
        switch.tell("cut")
        cluster.stop(kill=True)
        cluster.stopped.clear()
        cluster.wipe(keeps_id)
        cluster.start()
        make_topics(cluster, stand.prefix, EVERY_TOPIC, partitions)
        reader = stand.reader = Readers([before, Reader(cluster, stand.prefix)])
        if collides:
            while held > 0 and cluster.use_producer_id() < held - 1:
                pass
            with Stand(suite, "cluster-wiped", cluster=cluster, prefix=stand.prefix, partitions=partitions,
                       environment=PATIENT) as other:
                taken, has_id = take_over_producer_id(other, cluster, topic, held, following + 5)
                other.terminate(30)
            stand.loads += taken
            with stand.case("both instances have the same producer id, of different logs"):
                check(has_id, f"{held} was not given: {batches(cluster, topic)}")
        switch.tell("target 0")
        time.sleep(1.5)
        one_by_one(stand, 12)
        with stand.case("the cluster has the id that it was given"):
            check((cluster.id() == old_id) == keeps_id, f"{old_id}, now {cluster.id()}")
        if audit:
            stand.expect_metric("smsbridge_audit_records_total", result="mismatch")
            stand.expect_log("audit mismatch")
            stand.expect_alert("missing in Kafka")
            stand.expect_finding("missing in Kafka")
        elif keeps_id:
            stand.expect_metric("smsbridge_kafka_log_resets_total")
            stand.expect_log("partition log was reset")
            stand.expect_finding("reset")
        else:
            report_of_cluster_change(stand, old_id, cluster.id())
        stand.judge(within=10)
        stand.figures(producer_id=held, in_flight=len(burst.entries),
                      replies_in_the_new_log=sum(c.topic == "reply" for c in reader.readers[1].first.values()))


def topics_vanish(suite):
    """every topic is deleted under a bridge that may create topics: it creates them again without a restart"""
    for names in ([["reply"], EVERY_TOPIC] if suite.long else [EVERY_TOPIC]):
        with Stand(suite, "topics-vanish").start() as stand:
            reader = stand.read()
            load = stand.load(300, connections=256)
            load.answered_more(600, 20)
            gone = {f"{stand.prefix}.{name}" for name in names}
            before = time.monotonic_ns()
            for future in suite.cluster.admin.delete_topics(list(gone), operation_timeout=20).values():
                future.result(30)
            deleted = time.monotonic_ns()
            for topic in gone:
                reader.reread(topic)
            created = lambda: sum("topics created" in line for line in stand.bridge.log().splitlines())
            with stand.case("the topics are there again within 20 s"):
                # The broker forgets a deleted topic a moment later: it is the bridge that says when it has created them.
                check(eventually(lambda: created() > 1 and gone <= set(suite.cluster.topics(stand.prefix)), 20),
                      f"there are {sorted(suite.cluster.topics(stand.prefix))}, created {created()} times")
            stand.figures(created_after=f"{(time.monotonic_ns() - deleted) / 1e9:.1f} s")
            # A test that goes on in spite of a failure needs them.
            missing = sorted(topic.removeprefix(stand.prefix + ".") for topic in gone - set(suite.cluster.topics(stand.prefix)))
            if missing:
                make_topics(suite.cluster, stand.prefix, missing)
            back = time.monotonic_ns()
            acknowledged = stand.metric("smsbridge_events_acknowledged_total")
            with stand.case("events go to Kafka directly again"):
                check(eventually(lambda: stand.metric("smsbridge_events_acknowledged_total") > acknowledged + 300, 15),
                      f"{stand.metric('smsbridge_events_acknowledged_total') - acknowledged:.0f} in 15 s")
            load.stop()
            stand.expect_log("topics created")
            # What was deleted with the topic, and not read before, is gone: acknowledged shortly before, or during the deletion.
            stand.judge(within=20, order=False, unavailable=lambda e: False,
                        lost=lambda e: e.topic in names and before - 2_000_000_000 < e.answered < deleted + 2_000_000_000)
            with stand.case("nothing of the time after is missing"):
                late = [e.reference for e in load.entries if e.acknowledged and e.answered > back]
                check(late and not reader.missing(late), f"{len(reader.missing(late))} of {len(late)}")


def partition_leaderless(suite):
    """three nodes, and some partitions of all topics but one lose their only replica: that one goes on, the others wait in the spool"""
    cluster = suite.extra_cluster(nodes=3, properties=["broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500"])
    seconds = 40 if suite.long else 6
    with Stand(suite, "partition-leaderless", cluster=cluster, partitions=6) as stand:
        # Node 3 has a third of the partitions of each topic, and none of this one.
        whole = "url-click"
        made = cluster.admin.create_topics([
            NewTopic(f"{stand.prefix}.{name}", 6, replica_assignment=[[p % (2 if name == whole else 3) + 1] for p in range(6)],
                     config={"min.insync.replicas": "1"}) for name in EVERY_TOPIC])
        for future in made.values():
            future.result(30)
        stand.start()
        load = stand.load(300, connections=128)
        reader = stand.read()
        load.answered_more(600, 20)
        down = time.monotonic_ns()
        cluster.stop(kill=True, node=3)
        time.sleep(seconds)
        with reader.lock:
            arrived = set(reader.first)
        up = time.monotonic_ns()
        cluster.start()
        load.answered_more(600, 30)
        with stand.case("what has waited is in Kafka soon after the node is back"):
            check(eventually(lambda: not stand.metric("smsbridge_spool_events"), 20),
                  f"{stand.metric('smsbridge_spool_events'):.0f} events wait")
        stand.figures(drained_after=f"{(time.monotonic_ns() - up) / 1e9:.1f} s with the start of the node")
        load.stop()
        entries = stand.judge(within=60, order=ordered(suite), unavailable=lambda e: False)
        with reader.lock:
            partition = {reference: copy.partition for reference, copy in reader.first.items()}
        during = [e for e in entries if e.acknowledged and down + 1_000_000_000 < e.answered < up - 1_000_000_000]
        # One queue per topic: its events wait for its leaderless partitions (docs/design.md says why).
        others = [e for e in during if e.topic != whole and partition.get(e.reference, 2) % 3 != 2]
        stand.figures(events_during_the_fault=len(during), of_partitions_with_a_leader=len(others),
                      of_these_held=sum(e.reference not in arrived for e in others))
        healthy = [e for e in during if e.topic == whole]
        held = [e for e in healthy if e.reference not in arrived]
        with stand.case("events of a topic that has all of its leaders do not wait"):
            check(healthy and len(held) <= 0.02 * len(healthy),
                  f"{len(held)} of {len(healthy)} were not in Kafka when the node came back")


def change_topic(cluster, topic, **configuration):
    entries = [ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
               for name, value in configuration.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in cluster.admin.incremental_alter_configs([resource]).values():
        future.result(30)
    time.sleep(0.3)  # the broker applies it a moment later


def rejected_run(suite):
    """records that the broker rejects for their content: good ones of the same topic follow within 2 s"""
    for reason in ("size", "compacted"):
        with Stand(suite, "rejected-run").start() as stand:
            reader, topic = stand.read(), f"{stand.prefix}.reply"
            warm = stand.load(200, 1)
            warm.finish()
            if reason == "size":
                change_topic(suite.cluster, topic, max_message_bytes="4000")
                bad_options = {"pad": 6000}
            else:
                change_topic(suite.cluster, topic, cleanup_policy="compact")
                bad_options = {"keyless": True}
            others = stand.load(200, topics=["delivery-status", "short-code", "url-click"])
            bad = [stand.load(400, 0.5, topics=["reply"], **bad_options)]
            bad[0].finish()
            good = stand.load(400, 0.05, topics=["reply"])
            began = time.monotonic()
            good.finish()
            references = [e.reference for e in good.entries]
            eventually(lambda: not reader.missing(references), 90 if suite.long else 15)
            took = time.monotonic() - began
            with stand.case(f"{reason}: 20 good events after 200 rejected ones are in Kafka within 2 s"):
                stand.figures(reason=reason, good_after=f"{took:.2f} s", missing=len(reader.missing(references)))
                check(not reader.missing(references), f"{len(reader.missing(references))} of {len(references)} are not")
                check(took <= 2, f"{took:.1f} s")
            # The budget: as many rejected records as a busy caller sends, and the rows of the spool do not grow.
            seconds = 30 if suite.long else 3
            bad.append(stand.load(1000, seconds, topics=["reply"], connections=256, **bad_options))
            most = 0
            while bad[-1].process.poll() is None:
                most = max(most, stand.metric("smsbridge_spool_events", topic="reply") or 0)
                time.sleep(0.2)
            bad[-1].finish()
            others.stop()
            began = time.monotonic()
            rejected = [e.reference for load in bad for e in load.entries if e.acknowledged]
            eventually(lambda: not reader.missing(rejected), 90 if suite.long else 10)
            took = time.monotonic() - began
            with stand.case(f"{reason}: 1,000 rejected records a second are worked off"):
                stand.figures(most_rows_in_the_spool=f"{most:.0f}", all_in_the_quarantine_after=f"{took:.1f} s")
                check(not reader.missing(rejected), f"{len(reader.missing(rejected))} of {len(rejected)} are not in the quarantine")
                check(took <= 3 and most < 3000, f"{took:.1f} s after the last one, {most:.0f} rows in the spool")
            with stand.case(f"{reason}: events of other types are served as before"):
                slow = [e for e in others.entries if e.end == 0 and e.seconds > 0.1]
                stand.figures(others_p99=f"{percentile([e.seconds for e in others.entries if e.end == 0], 99) * 1e3:.1f} ms",
                              slower_than_the_hedge=f"{len(slow)} of {len(others.entries)}")
                check(len(slow) <= 0.05 * len(others.entries), f"{len(slow)} of {len(others.entries)} took longer than the hedge")
            runs = tuple(f"c{load.run}-" for load in bad)
            stand.judge(within=90 if suite.long else 20, order=False, unavailable=lambda e: False,
                        quarantined=lambda e: e.reference.startswith(runs))
            stand.expect_metric("smsbridge_records_rejected_total", least=len(rejected))
