"""Faults under load: after each, every event that got a 2xx is in Kafka. Each failed check is one line; the last line counts."""

import argparse
import collections
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(1, os.path.join(os.path.dirname(HERE), "Contract"))

import scenarios_clients as clients  # noqa: E402
import scenarios_clock as clock  # noqa: E402
import scenarios_cluster as other  # noqa: E402
import scenarios_consumers as consumers  # noqa: E402
import scenarios_disk as disk  # noqa: E402
import scenarios_kafka as kafka  # noqa: E402
import scenarios_random as combined  # noqa: E402
import scenarios_spool as spool  # noqa: E402
import scenarios_tls as tls  # noqa: E402
from cluster import Cluster  # noqa: E402
from report import Report  # noqa: E402

# Name, function, limit in seconds (short, long).
# A scenario of PENDING shows a fault that is known and not corrected yet: it runs only when it is named, or with --pending.
SCENARIOS = [
    ("control", kafka.control, 60, 60),
    ("fresh-topics", kafka.fresh_topics, 120, 600),
    ("broker-stopped", kafka.broker_stopped, 120, 900),
    ("broker-killed", kafka.broker_killed, 120, 300),
    ("broker-paused", kafka.broker_paused, 120, 300),
    ("broker-paused-hot", kafka.broker_paused_hot, 120, 300),
    ("broker-hiccups", kafka.broker_hiccups, 120, 300),
    ("bridge-paused", kafka.bridge_paused, 180, 400),
    ("broker-slow", kafka.broker_slow, 120, 300),
    ("connections-cut", kafka.connections_cut, 120, 300),
    ("start-without-kafka", kafka.start_without_kafka, 120, 120),
    ("topic-deleted", kafka.topic_deleted, 180, 300),
    ("access-taken", kafka.access_taken, 300, 300),
    ("replicas", kafka.replicas, 600, 600),
    ("kafka-tls-rotated", tls.kafka_tls_rotated, 400, 400),
    ("kill9", spool.kill9, 180, 1800),
    ("shutdown", spool.shutdown, 120, 120),
    ("fsync", spool.fsync, 60, 60),
    ("disk-full", spool.disk_full, 240, 240),
    ("disk-slow", spool.disk_slow, 180, 180),
    ("spool-full", spool.spool_full, 180, 180),
    ("spool-not-writable", spool.spool_not_writable, 120, 120),
    ("spool-damaged", spool.spool_damaged, 180, 180),
    ("spool-deleted", spool.spool_deleted, 180, 180),
    ("spool-latency", spool.spool_latency, 120, 240),
    ("cluster-switched", other.cluster_switched, 120, 600),
    ("cluster-wiped", other.cluster_wiped, 120, 300),
    ("topics-vanish", other.topics_vanish, 120, 240),
    ("partition-leaderless", other.partition_leaderless, 120, 300),
    ("rejected-run", other.rejected_run, 180, 600),
    ("spool-disk-full-with-backlog", disk.disk_full_with_backlog, 120, 240),
    ("spool-quota", disk.quota, 120, 240),
    ("spool-disk-hangs-empty", disk.disk_hangs_empty, 120, 240),
    ("spool-disk-hangs-with-backlog", disk.disk_hangs_with_backlog, 120, 240),
    ("spool-write-errors", disk.write_errors, 120, 240),
    ("spool-read-errors", disk.read_errors, 120, 240),
    ("spool-folder-removed", disk.folder_removed, 120, 240),
    ("clock-ahead", clock.clock_ahead, 120, 240),
    ("clock-behind", clock.clock_behind, 120, 240),
    ("clock-unsynchronized", clock.clock_unsynchronized, 60, 60),
    ("random-combinations", combined.random_combinations, 300, 7200),
    ("slow-clients", clients.slow_clients, 120, 120),
    ("many-connections", clients.many_connections, 120, 120),
    ("overload", clients.overload, 180, 300),
    ("overload-without-kafka", clients.overload_without_kafka, 240, 400),
    ("consumer-group", consumers.consumer_group, 300, 600),
    ("consumer-failures", consumers.consumer_failures, 240, 300),
    ("consumer-stuck", consumers.consumer_stuck, 240, 600),
    ("consumer-one-number", consumers.consumer_one_number, 300, 300),
    ("consumer-redrive", consumers.consumer_redrive, 120, 120),
    ("consumer-shutdown", consumers.consumer_shutdown, 120, 400),
    ("consumer-latest", consumers.consumer_latest, 120, 120),
    ("consumer-leaderless", consumers.consumer_leaderless, 180, 180),
    ("consumer-recreated", consumers.consumer_recreated, 120, 120),
    ("consumer-transactions", consumers.consumer_transactions, 90, 90),
    ("consumer-topics", consumers.consumer_topics, 240, 240),
    ("consumer-cluster", consumers.consumer_cluster, 180, 180),
    ("consumer-eager", consumers.consumer_eager, 90, 90),
    ("consumer-access", consumers.consumer_access, 240, 240),
    ("soak", clients.soak, 300, 4200),
]
PENDING = set()

PENDING_REASON = "pending: the fault is known and not corrected yet (--pending)"


class OutOfTime(Exception):
    pass


class Suite:
    def __init__(self, options, report, folder):
        self.report, self.folder = report, folder
        self.tools, self.spool, self.long, self.keep = options.tools, options.spool, options.long, options.keep
        self.limit, self.memory, self.rounds, self.soak = options.limit, options.memory, options.rounds, options.soak
        self.seed = options.seed
        self.only = [name for names in options.only for name in names.split(",")]
        self.binary = shlex.split(options.binary)
        self.binary[0] = os.path.abspath(self.binary[0])
        self.starter = options.kafka_start
        self.cluster = None
        self.extra = []

    def extra_cluster(self, **options):
        cluster = Cluster(self.starter, **options)
        self.extra.append(cluster)
        return cluster

    def run(self, name, scenario, limit):
        began = time.monotonic()
        print(f"----  {name}: {scenario.__doc__}", flush=True)

        def expire(*_):
            raise OutOfTime(f"not done after {limit} s")

        signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, limit, 15)
        skips, broken = len(self.report.skipped), len(self.report.failed)
        try:
            if self.cluster is None:
                self.cluster = Cluster(self.starter)
            with self.report.case(f"{name}: the scenario ran to its end"):
                scenario(self)
            if len(self.report.skipped) > skips:
                self.report.passed -= 1  # what was left out has shown nothing
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            while self.extra:
                self.extra.pop().end()
            if self.cluster:
                self.cluster.resume_all()
            if self.cluster and self.cluster.proxy:
                for line in ("pass", "delay 0"):
                    self.cluster.proxy.tell(line)
        if self.cluster and len(self.report.failed) > broken:
            self.cluster.start()  # it may have been left down
        print(f"      {name}: {time.monotonic() - began:.1f} s", flush=True)


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: scripts/chaos --only kill9,fsync\n\nscenarios:\n" + "\n".join(
            f"  {name:32}{scenario.__doc__}" for name, scenario, _, _ in SCENARIOS))
    parser.add_argument("--binary", help="the bridge (may have arguments)", default=os.path.join(ROOT, ".build/release/smsbridge"))
    parser.add_argument("--tools", default=os.path.join(ROOT, ".build/chaos"), help="where load and faults.so are")
    parser.add_argument("--kafka-start", default=os.environ.get("KAFKA_START"), help="the script that starts a broker; `stop` "
                        "and `tool` beside it (default: $KAFKA_START)")
    parser.add_argument("--spool", choices=["sqlite", "none"], default="sqlite",
                        help="none: the bridge without a spool, where an outage means 503s, and never a lie")
    parser.add_argument("--only", action="append", default=[], metavar="NAME,…")
    parser.add_argument("--except", action="append", default=[], metavar="NAME,…", dest="without")
    parser.add_argument("--pending", action="store_true", help="also the scenarios of faults that are not corrected yet")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--long", action="store_true", help="longer outages, more rounds, three nodes, access control")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="the soak alone, for so long")
    parser.add_argument("--rounds", type=int, help="rounds of kill9 (6; with --long 51) and random-combinations (10; 200)")
    parser.add_argument("--seed", type=int, help="of random-combinations: repeats the faults of a run that has printed it")
    parser.add_argument("--limit", type=float, default=float(os.environ.get("CHAOS_LIMIT", "1.5")), metavar="SECONDS",
                        help="for an answer; promise 2 says 1 s, and a machine that runs broker, bridge and load on two cores is "
                             "given half a second more (default 1.5)")
    parser.add_argument("--memory", type=int, default=256, metavar="MB", help="the most that the bridge may take (default 256)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="run N scenarios side by side, each with a Kafka of its own")
    parser.add_argument("--share", help=argparse.SUPPRESS)  # I/N: what --jobs gives to one of its processes
    parser.add_argument("--keep", action="store_true", help="keep logs and ledgers")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each check that passed, too")
    options = parser.parse_args()
    if options.list:
        for name, scenario, _, _ in SCENARIOS:
            print(f"{name:32}{scenario.__doc__}")
        sys.exit(0)
    names = [name for name, *_ in SCENARIOS]
    for name in ",".join(options.only + options.without).split(","):
        if name and name not in names:
            parser.error(f"no such scenario: {name} (--list)")
    if not options.kafka_start:
        parser.error("a Kafka to break is needed: KAFKA_START=path/to/start (a script that starts one and prints its address)")
    return options


def side_by_side(jobs):
    """Runs the scenarios in as many processes, each with every jobs-th of them; their lines are printed as they come."""
    processes = [
        subprocess.Popen([sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--share", f"{job}/{jobs}"],
                         stdout=subprocess.PIPE, text=True, errors="replace")
        for job in range(jobs)]
    totals, skipped = collections.Counter(), []

    def follow(process):
        last = ""
        for line in process.stdout:
            if last.startswith("SKIPPED "):
                skipped.extend(last.strip().split(": ", 1)[1].split(", "))
            elif last:
                print(last, end="", flush=True)
            last = line
        counts = re.fullmatch(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\n?", last)
        if counts is None:
            print(f"{last}FAIL  one of the processes ended with status {process.wait()}", flush=True)
            totals["failed"] += 1
        else:
            totals.update(passed=int(counts[1]), failed=int(counts[2]))

    threads = [threading.Thread(target=follow, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return totals, skipped


def main():
    options = arguments()
    report = Report(options.verbose)
    if options.jobs > 1 and not options.share:
        totals, report.skipped = side_by_side(options.jobs)
        report.passed, report.failed = totals["passed"], ["?"] * totals["failed"]
        return report.end()
    folder = tempfile.mkdtemp(prefix="smsbridge-chaos-")
    suite = Suite(options, report, folder)
    # Ended from outside, everything that was started is ended, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    wanted = suite.only or (["soak"] if options.soak else [])
    without = [name for names in options.without for name in names.split(",")]
    try:
        share, shares = (int(number) for number in (options.share or "0/1").split("/"))
        chosen = [row for row in SCENARIOS if (not wanted or row[0] in wanted) and row[0] not in without]
        for name, scenario, short, long in chosen[share::shares]:
            if name in PENDING and name not in wanted and not options.pending:
                report.skip(name, PENDING_REASON)
                continue
            more = (options.soak or 0) + 36 * (options.rounds or 0)
            suite.run(name, scenario, (long if options.long else short) + more)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for cluster in [*suite.extra, suite.cluster]:
            if cluster is not None:
                cluster.end()
        if options.keep:
            print(f"logs and ledgers are in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
