"""Faults of Kafka and of the way to it."""

import random
import signal
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic
from report import check
from stand import Stand

from ledger import TOPICS, percentile


def ordered(suite):
    """Without a spool, order over an outage is not promised."""
    return suite.spool != "none"


def control(suite):
    """no fault: what the machine does by itself"""
    with Stand(suite, "control").start() as stand:
        load = stand.load(500, 5)
        load.finish()
        entries = stand.judge(unavailable=False)
        hedged = [e for e in entries if e.seconds > 0.1]
        stand.figures(slower_than_the_hedge=len(hedged), acknowledged_by_Kafka=stand.metric("smsbridge_events_acknowledged_total"))


def fresh_topics(suite):
    """the first events of a bridge go to topics that were made a moment ago, whose leaders are not all there yet"""
    rounds = 60 if suite.long else 5
    for _ in range(rounds):
        with Stand(suite, "fresh-topics", partitions=3).start() as stand:
            # Several batches for each partition are on their way when its leader comes.
            load = stand.load(2000, 1, topics=["url-preview", "url-click"])
            load.finish()
            entries = stand.judge(within=10, quiet=True)
            if suite.spool != "none":
                # No other event wakes the bridge: every caller waits. The hedge must come by itself, and in time.
                with stand.case("the first events are answered at the hedge, whatever their topics do"):
                    slowest = max(e.seconds for e in entries)
                    check(slowest < 0.4 or stand.probe.worst() > 0.1, f"the slowest waited {slowest * 1e3:.0f} ms, the hedge is 100 "
                          f"ms, and a sync of the disk took at most {stand.probe.worst() * 1e3:.0f} ms")


def outage(suite, name, down, up, seconds, rate=500, environment=None, partitions=3, watch=False):
    with Stand(suite, name, environment=environment, partitions=partitions).start() as stand:
        # Without a spool every request of an outage waits for the deadline, so it takes more connections.
        load = stand.load(rate, connections=64 if suite.spool != "none" else 512)
        load.answered_more(rate, 20)
        calm = stand.busy(1) if watch else 0
        began = time.monotonic()
        down()
        if watch:
            cores = [stand.busy(1) for _ in range(max(2, round(seconds) - 1))]
            with stand.case("the bridge does not spin while the broker says nothing"):
                stand.figures(cores_before=f"{calm:.2f}", cores_while_paused=" ".join(f"{c:.2f}" for c in cores))
                middle = percentile(cores, 50)
                check(middle < calm + 0.6, f"it takes {middle:.2f} of a core where {calm:.2f} were enough before")
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        up()
        stand.tell(f"Kafka was away for {time.monotonic() - began:.0f} s")
        with stand.case("service goes on without a restart"):
            load.answered_more(rate, 40)
            stand.alive()
        time.sleep(1)
        load.stop()
        stand.judge(within=90, order=ordered(suite))
        with stand.case("it says it is ready"):
            check(stand.status() == 200, f"/readyz says {stand.status()}")


def broker_stopped(suite):
    """the broker is stopped and started under load"""
    for seconds in [30, 300] if suite.long else [6]:
        outage(suite, "broker-stopped", suite.cluster.stop, suite.cluster.start, seconds)


def broker_killed(suite):
    """the broker is killed with -9 and started on the same data"""
    outage(suite, "broker-killed", lambda: suite.cluster.stop(kill=True), suite.cluster.start, 20 if suite.long else 3)


def broker_paused(suite):
    """the broker hangs (SIGSTOP): connections stay open, nothing answers; the bridge's CPU is watched"""
    outage(suite, "broker-paused", suite.cluster.pause, suite.cluster.resume, 30 if suite.long else 6, watch=True)


def broker_paused_hot(suite):
    """the same with topics of one partition, at 2,000/s"""
    outage(suite, "broker-paused-hot", suite.cluster.pause, suite.cluster.resume, 30 if suite.long else 5, rate=2000,
           partitions=1, watch=True)


def broker_hiccups(suite):
    """the broker hangs for moments around the hedge and the deadline, again and again"""
    with Stand(suite, "broker-hiccups").start() as stand:
        load = stand.load(500, connections=64 if suite.spool != "none" else 512)
        load.answered_more(300, 20)
        for _ in range(40 if suite.long else 8):
            suite.cluster.pause()
            time.sleep(random.choice([0.05, 0.09, 0.11, 0.2, 0.5, 0.88, 0.92, 1.3]))
            suite.cluster.resume()
            time.sleep(random.uniform(0.02, 0.8))
        load.answered_more(500, 30)
        load.stop()
        stand.judge(within=60, order=ordered(suite))


def bridge_paused(suite):
    """the bridge itself hangs (SIGSTOP) for a second, again and again, and Kafka is well all the time"""
    rounds = 40 if suite.long else 8
    # A hedge that a busy machine does not reach by itself.
    with Stand(suite, "bridge-paused", environment={"SMSBRIDGE_PUBLISH_HEDGE": "400ms"}).start() as stand:
        load = stand.load(500, connections=512)
        load.answered_more(500, 20)
        moved = lambda: (stand.metric("smsbridge_topic_spooling_total"), stand.metric("smsbridge_events_hedged_total"))
        first = moved()
        time.sleep(2 * rounds)
        calm = moved()
        for _ in range(rounds):
            stand.bridge.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            stand.bridge.process.send_signal(signal.SIGCONT)
            time.sleep(random.uniform(0.5, 1.5))
        load.answered_more(500, 30)
        last = moved()
        load.stop()
        # Whoever waited through a pause is past the deadline: an honest 503, for an event that Kafka may well have.
        stand.judge(within=60, order=ordered(suite), unavailable=True, limit=suite.limit + 1)
        with stand.case("its own pauses are no lateness of Kafka's"):
            closed, before = last[0] - calm[0], calm[0] - first[0]
            stand.figures(pauses=rounds, topics_closed=f"{closed:.0f}", events_hedged=f"{last[1] - calm[1]:.0f}",
                          in_as_long_without_pauses=f"{before:.0f} closed, {calm[1] - first[1]:.0f} hedged")
            # Every topic has something in flight: judged at once, a pause closed all five.
            check(closed - before <= rounds, f"{rounds} pauses turned topics to the spool {closed:.0f} times")


def broker_slow(suite):
    """the broker answers 2 s late (by a proxy behind its advertised address)"""
    with Stand(suite, "broker-slow", bootstrap=suite.cluster.through).start() as stand:
        load = stand.load(200, connections=64 if suite.spool != "none" else 512)
        load.answered_more(200, 20)
        try:
            suite.cluster.proxy.tell("delay 2")
            time.sleep(30 if suite.long else 7)
        finally:
            suite.cluster.proxy.tell("delay 0")
        with stand.case("service goes on without a restart"):
            load.answered_more(300, 30)
        load.stop()
        stand.judge(within=60, order=ordered(suite))


def connections_cut(suite):
    """the connections to the broker are reset under load, many times: in old librdkafka a cause of fatal errors"""
    with Stand(suite, "connections-cut", bootstrap=suite.cluster.through).start() as stand:
        load = stand.load(1000, connections=64 if suite.spool != "none" else 512)
        load.answered_more(500, 20)
        for _ in range(200 if suite.long else 25):
            suite.cluster.proxy.tell("cut")
            time.sleep(random.choice([0.01, 0.05, 0.1, 0.2, 0.4]))
        with stand.case("service goes on without a restart"):
            load.answered_more(1000, 30)
            stand.alive()
        load.stop()
        stand.judge(within=60, order=ordered(suite))
        stand.figures(producers_replaced=stand.metric("smsbridge_producer_recreations_total"))


def start_without_kafka(suite):
    """the bridge starts while Kafka is away"""
    if suite.spool == "none":
        return suite.report.skip("start-without-kafka", "only with a spool does the bridge promise to start")
    suite.cluster.stop()
    try:
        with Stand(suite, "start-without-kafka") as stand:
            began = time.monotonic()
            with stand.case("it is ready within 5 s, though Kafka is away"):
                stand.start(within=20)
                check(time.monotonic() - began < 5, f"after {time.monotonic() - began:.1f} s")
            load = stand.load(300)
            load.answered_more(600, 15)
            suite.cluster.start()
            time.sleep(1)
            load.answered_more(300, 20)
            load.stop()
            stand.judge(within=60)
    finally:
        suite.cluster.start()


def make_topics(cluster, prefix, names, partitions=3, replication=1, leader=None):
    """- leader: the node that leads every partition; all nodes have a replica."""
    nodes = sorted(range(1, cluster.nodes + 1), key=lambda node: node != leader)
    layout = {"replica_assignment": [nodes] * partitions} if leader else {"replication_factor": replication}
    made = cluster.admin.create_topics([NewTopic(f"{prefix}.{name}", partitions, **layout) for name in names])
    for future in made.values():
        future.result(30)


def one_topic_dies(suite, stand, load, dead, break_it, mend_it, seconds, window=None):
    """A topic is taken away from under a bridge and given back; the others must not notice."""
    load.answered_more(1500, 30)
    before = time.monotonic_ns()
    break_it()
    broken = time.monotonic_ns()
    time.sleep(seconds)
    mend_it()
    mended = time.monotonic_ns()
    time.sleep(5)
    load.answered_more(1000, 30)
    load.stop()
    lost = None
    if window:
        # Read by nobody when the topic went: acknowledged in the second before, or while it was being deleted.
        lost = lambda e: e.topic == dead and before - 2_000_000_000 < e.answered < broken + 2_000_000_000
    entries = stand.judge(within=90, order=ordered(suite) and not window, lost=lost)
    others = [e for e in entries if e.topic != dead and e.end == 0]
    calm = [e for e in others if e.sent < before]
    during = [e for e in others if broken <= e.sent < mended]
    with stand.case("the other topics are served as in the time before the fault"):
        refused = [e for e in during if not e.acknowledged]
        check(not refused, f"{len(refused)} of {len(during)} were refused")
        share = lambda those: sum(e.seconds > 0.095 for e in those) / max(1, len(those))
        stand.figures(slower_than_the_hedge_before=f"{share(calm):.2%}", others_while_one_is_dead=f"{share(during):.2%}",
                      their_p99=f"{percentile([e.seconds for e in during], 99) * 1e3:.1f} ms")
        # One stall of the machine is a large share of a few seconds.
        check(share(during) <= share(calm) + 0.02 + 0.15 / seconds, "more of them were hedged")
    with stand.case(f"events of the dead topic go to Kafka again ({dead})"):
        late = [e for e in entries if e.topic == dead and e.acknowledged and e.answered > mended + 3_000_000_000]
        check(late, "none was acknowledged afterwards")


def topic_deleted(suite):
    """a topic is deleted and made again; the others go on"""
    with Stand(suite, "topic-deleted", environment={"SMSBRIDGE_TOPICS_CREATE": "false"}) as stand:
        make_topics(suite.cluster, stand.prefix, [*TOPICS, "test", "quarantine"])
        time.sleep(0.5)
        stand.start()
        reader, dead = stand.read(), f"{stand.prefix}.reply"
        load = stand.load(500, connections=64 if suite.spool != "none" else 256)

        def delete():
            for future in suite.cluster.admin.delete_topics([dead], operation_timeout=20).values():
                future.result(30)

        def make_again():
            for _ in range(100):  # the deletion goes on for a moment in the background
                try:
                    make_topics(suite.cluster, stand.prefix, ["reply"])
                    break
                except KafkaException:
                    time.sleep(0.1)
            reader.reread(dead)

        one_topic_dies(suite, stand, load, "reply", delete, make_again, 20 if suite.long else 4, window=True)


def access_taken(suite):
    """the right to write to a topic is taken away and given back; and the whole login at the start"""
    if not suite.long and "access-taken" not in suite.only:
        return suite.report.skip("access-taken", "starts a broker with TLS and access control: --long")
    cluster = suite.extra_cluster(sasl=True)
    with Stand(suite, "access-taken", cluster=cluster, bootstrap=f"localhost:{cluster.sasl_port}") as stand:
        stand.environment |= {
            "SMSBRIDGE_KAFKA_PROPERTIES_SECURITY_PROTOCOL": "sasl_ssl", "SMSBRIDGE_KAFKA_PROPERTIES_SASL_MECHANISM": "PLAIN",
            "SMSBRIDGE_KAFKA_PROPERTIES_SASL_USERNAME": "bridge", "SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD": "bridge-secret",
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_CA_LOCATION": f"{cluster.folder}/tls/ca.pem"}
        acls = lambda *words: cluster.tool("acls", "--bootstrap-server", cluster.bootstrap, *words)
        everything = ["--allow-principal", "User:bridge", "--operation", "All", "--topic", stand.prefix,
                      "--resource-pattern-type", "prefixed"]
        acls("--add", *everything)
        acls("--add", "--allow-principal", "User:bridge", "--operation", "IdempotentWrite", "--operation", "Create", "--cluster")
        stand.start()
        load = stand.load(500, connections=64 if suite.spool != "none" else 256)
        deny = ["--deny-principal", "User:bridge", "--operation", "Write", "--topic", f"{stand.prefix}.reply"]
        one_topic_dies(suite, stand, load, "reply", lambda: acls("--add", *deny), lambda: acls("--remove", "--force", *deny),
                       20 if suite.long else 5)


def replicas(suite):
    """three nodes: the leader dies, then too few replicas are in sync"""
    if not suite.long and "replicas" not in suite.only:
        return suite.report.skip("replicas", "starts three brokers: --long")
    cluster = suite.extra_cluster(nodes=3)
    with Stand(suite, "replicas", cluster=cluster, replication=3).start() as stand:
        load = stand.load(300, connections=64 if suite.spool != "none" else 512)
        load.answered_more(600, 30)
        for node in (1, 2, 3):
            cluster.stop(kill=True, node=node)
            time.sleep(12)  # longer than a broker's session: leaders move, the replica leaves the in-sync ones
            load.answered_more(100, 30)
            cluster.start()
            time.sleep(3)
        stand.tell("every node was killed once")
        cluster.stop(kill=True, node=3)
        time.sleep(12)
        name = f"{stand.prefix}.reply"
        change = lambda *words: cluster.tool("configs", "--bootstrap-server", cluster.bootstrap, "--alter", "--entity-type",
                                             "topics", "--entity-name", name, *words)
        change("--add-config", "min.insync.replicas=3")
        stand.tell("one topic asks for three replicas in sync and has two")
        time.sleep(10)
        cluster.start()
        load.answered_more(300, 30)
        cluster.stop(kill=True, node=2)
        cluster.stop(kill=True, node=3)
        stand.tell("two of three nodes are dead, the quorum with them")
        time.sleep(15)
        cluster.start()
        load.answered_more(600, 60)
        load.stop()
        stand.judge(within=120, order=ordered(suite))
