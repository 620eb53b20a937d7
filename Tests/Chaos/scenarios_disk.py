"""Faults of the spool's disk while Kafka answers: callers get their 200, whatever the disk does."""

import contextlib
import errno
import glob
import os
import shutil
import threading
import time

from report import check
from scenarios_spool import Disk, mountable, needs_spool
from stand import Stand, eventually

# Neither Kafka nor the disk: a 503 is right. And a second more, for the bridge to notice that Kafka is back.
GRACE = 1_000_000_000
# An answer from Kafka while the spool does nothing: at the deadline at the latest.
BACKLOG = 2_000


class Filler:
    """Takes every byte that becomes free on a disk, until it is ended."""

    def __init__(self, disk):
        self.disk, self.ending = disk, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with open(os.path.join(self.disk.mount, "filler"), "wb", buffering=0) as file:
            while not self.ending.wait(0.005):
                for size in (1 << 20, 4096, 1):
                    with contextlib.suppress(OSError):
                        while not self.ending.is_set():
                            file.write(b"x" * size)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Frees all of it."""
        if not self.ending.is_set():
            self.ending.set()
            self.thread.join(10)
            self.disk.free()


def with_backlog(suite, stand, load, rows=BACKLOG):
    """Kafka is away until so many events are in the spool."""
    load.answered_more(200, 20)
    suite.cluster.pause()
    load.answered_more(rows, 60)


def kafka_returns(suite, stand, load, text, answers, fault_since):
    """Kafka answers, the disk still has its fault: every request gets a 200 after the first second.

    - Returns: a function that says of an entry whether it may be a 503."""
    suite.cluster.resume()
    back = time.monotonic_ns()
    with stand.case(f"{text}: service goes on as soon as Kafka is back"):
        load.answered_more(answers, 8)
    remaining = back + 5 * GRACE - time.monotonic_ns()
    time.sleep(max(0, remaining / 1e9))
    last = load.progress()["unavailable"]
    time.sleep(1)
    with stand.case(f"{text}: no more 503s"):
        check(load.progress()["unavailable"] == last, f"{load.progress()['unavailable'] - last} in a second")
    return lambda e: fault_since - GRACE < e.sent < back + GRACE


def no_503_in(stand, load, seconds, text):
    before = load.progress()
    time.sleep(seconds)
    now = load.progress()
    with stand.case(text):
        refused = now["unavailable"] - before["unavailable"]
        check(refused == 0, f"{refused} of {now['sent'] - before['sent']} requests got a 503")
        check(now["ok"] > before["ok"], "no request got a 200")


def check_counted(stand, entries, reader):
    """Events that overtook the backlog are in the metric; without them nothing may be out of order."""
    inverted = stand._inversions(reader, [e for e in entries if e.acknowledged])
    with stand.case("what overtook the backlog is counted"):
        counted = stand.metric("smsbridge_spool_bypassed_events_total") or 0
        check(not inverted or counted > 0, f"{len(inverted)} events are out of order, and the metric says {counted:.0f}")


def bypass_reports(stand):
    stand.expect_metric("smsbridge_spool_bypasses_total")
    stand.expect_metric("smsbridge_spool_bypassed_events_total")
    stand.expect_alert("bypass the backlog")
    stand.expect_log("spool bypassed")
    stand.expect_finding("bypass the backlog")


def disk_full_with_backlog(suite):
    """the spool's disk is full, and stays full, with a backlog in the spool when Kafka returns"""
    name = "spool-disk-full-with-backlog"
    if needs_spool(suite, name) or not mountable(suite, name):
        return
    with Disk(suite, 256) as disk, Stand(suite, name, spool=os.path.join(disk.mount, "spool")).start() as stand:
        load = stand.load(800, connections=512)
        with_backlog(suite, stand, load)
        with Filler(disk) as filler:
            full = time.monotonic_ns()
            with stand.case("a full disk is answered with 503 while Kafka is away"):
                load.until(lambda p: p["unavailable"] > 100, 20, "503s, the disk being full")
            allowed = kafka_returns(suite, stand, load, "disk full", 1000, full)
            stand.expect_alert("spool")
            stand.expect_metric("smsbridge_spool_writable", least=0, most=0)
            with stand.case("disk full: it starts again"):
                restarted = time.monotonic_ns()
                stand.terminate(40)
                stand.start(within=20)
            up = time.monotonic_ns()
            load.answered_more(200, 10)
            no_503_in(stand, load, 2, "disk full: 200 after a restart, too")
            filler.end()
        time.sleep(1)
        load.answered_more(400, 10)
        load.stop()
        entries = stand.judge(within=30, broken=True,
                              unavailable=lambda e: allowed(e) or restarted - GRACE < e.sent < up + GRACE)
        copies = sum(stand.reader.copies.values())
        with stand.case("what could not be deleted is sent again once a restart"):
            check(copies <= 2 * BACKLOG, f"{copies} duplicates of a backlog of {BACKLOG}")
        check(entries, "no entries")


def quota(suite):
    """the spool's quota is used up (EDQUOT) with a backlog in the spool when Kafka returns (a preloaded shim)"""
    if needs_spool(suite, "spool-quota"):
        return
    with Stand(suite, "spool-quota", faults=True).start() as stand:
        load = stand.load(800, connections=512)
        with_backlog(suite, stand, load)
        ballast = os.path.join(stand.spool, "ballast")
        had_ballast = os.path.exists(ballast)
        stand.faults.quota(stand.spool_bytes())
        full = time.monotonic_ns()
        if had_ballast:
            with stand.case("the reserved space is released"):
                check(eventually(lambda: not os.path.exists(ballast), 30), "it is still there")
            stand.faults.quota(stand.spool_bytes())
        with stand.case("a used up quota is answered with 503 while Kafka is away"):
            load.until(lambda p: p["unavailable"] > 100, 20, "503s, the quota being used up")
        allowed = kafka_returns(suite, stand, load, "quota", 1000, full)
        stand.expect_alert("spool")
        check(stand.faults.hits, "the quota was never met")
        stand.faults.clear()
        time.sleep(1)
        load.answered_more(400, 10)
        load.stop()
        stand.judge(within=30, unavailable=allowed)
        stand.check_log_rate(most=30)


def disk_hangs_empty(suite):
    """the disk hangs while the spool is empty, and acknowledgements are late once: the spool is not in the way (a preloaded shim)"""
    if needs_spool(suite, "spool-disk-hangs-empty"):
        return
    with Stand(suite, "spool-disk-hangs-empty", faults=True).start() as stand:
        load = stand.load(500, connections=1024)
        load.answered_more(500, 20)
        for reads in (False, True):
            stand.faults.hang(reads=reads)
            hung = time.monotonic_ns()
            suite.cluster.pause()
            time.sleep(0.3)
            suite.cluster.resume()
            time.sleep(1)
            no_503_in(stand, load, 15 if suite.long else 4, "the disk hangs, Kafka answers: no request gets a 503")
            stand.expect_alert("spool")
            stand.expect_finding("spool")
            stand.faults.clear()
            stand.expect_no_alert("spool")
        check(stand.faults.hits, "the disk was never used")
        load.answered_more(500, 10)
        load.stop()
        stand.judge(within=20, unavailable=lambda e: e.sent < hung + 2 * GRACE)


def disk_hangs_with_backlog(suite):
    """the disk hangs with a backlog in the spool when Kafka returns: new events do not wait for it (a preloaded shim)"""
    backlog_fault(suite, "spool-disk-hangs-with-backlog", lambda faults: faults.hang(reads=True), bypass=True)


def write_errors(suite):
    """writes to the spool fail, reads work, with a backlog when Kafka returns (a preloaded shim)"""
    backlog_fault(suite, "spool-write-errors", lambda faults: faults.fail_writes(), bypass=False)


def read_errors(suite):
    """the backlog cannot be read when Kafka returns, then can (a preloaded shim)"""
    backlog_fault(suite, "spool-read-errors", lambda faults: faults.fail_reads(), bypass=True)


def backlog_fault(suite, name, inject, bypass):
    """A backlog larger than what is kept in memory, and a fault of the disk at the moment when Kafka returns.

    - bypass: whether new events may overtake the backlog."""
    if needs_spool(suite, name):
        return
    with Stand(suite, name, faults=True).start() as stand:
        reader = stand.read()
        load = stand.load(800, pad=6000, connections=1024)
        with_backlog(suite, stand, load, 6 * BACKLOG if suite.long else 2 * BACKLOG)
        inject(stand.faults)
        broken = time.monotonic_ns()
        time.sleep(0.1)
        allowed = kafka_returns(suite, stand, load, name, 800, broken)
        if bypass:
            bypass_reports(stand)
        else:
            with stand.case("the backlog is read, and sent, before the disk is well"):
                stored = lambda: stand.metric("smsbridge_spool_events") or 0
                check(eventually(lambda: stored() == 0, 5), f"{stored():.0f} events wait")
            stand.expect_alert("spool")
        with stand.case("the fault was met"):
            check(stand.faults.hits, "the disk was never used")
        stand.faults.clear()
        healed = time.monotonic_ns()
        with stand.case("the backlog follows when the disk is well"):
            check(eventually(lambda: not stand.metric("smsbridge_spool_events"), 15),
                  f"{stand.metric('smsbridge_spool_events'):.0f} events wait")
        stand.figures(drained_after=f"{(time.monotonic_ns() - healed) / 1e9:.1f} s")
        load.answered_more(400, 10)
        load.stop()
        # On a busy machine the backlog may be read too slowly for the callers, and be bypassed for that.
        overtaken = bypass or (stand.metric("smsbridge_spool_bypassed_events_total") or 0) > 0
        entries = stand.judge(within=30, unavailable=allowed,
                              overtaken=(lambda e: e.answered < healed) if overtaken else None)
        if overtaken:
            check_counted(stand, entries, reader)
        stand.check_log_rate(most=60)


def folder_removed(suite):
    """the spool's folder is removed under a running bridge, with a backlog in the file that it has open"""
    if needs_spool(suite, "spool-folder-removed"):
        return
    with Stand(suite, "spool-folder-removed").start() as stand:
        load = stand.load(600, connections=256)
        with_backlog(suite, stand, load)
        shutil.rmtree(stand.spool)
        removed = time.monotonic_ns()
        with stand.case("the folder is there again"):
            check(eventually(lambda: os.path.isdir(stand.spool), 5), "it is not")
        with stand.case("200 from the spool, Kafka still being away"):
            load.answered_more(600, 10)
        stand.expect_log("spool files removed", stand.spool)
        stand.expect_log("spool files restored", "rows")
        stand.expect_metric("smsbridge_spool_removals_total", most=1)
        stand.expect_finding("removed")
        suite.cluster.resume()
        load.answered_more(600, 10)
        with stand.case("everything of the deleted file follows"):
            check(eventually(lambda: not stand.metric("smsbridge_spool_events"), 15),
                  f"{stand.metric('smsbridge_spool_events'):.0f} events wait")
        with stand.case("the spool has its files again"):
            check(eventually(lambda: glob.glob(os.path.join(stand.spool, "spool.db")), 10), "it has not")
        # From here on events are on the disk again: a kill loses nothing.
        suite.cluster.pause()
        load.answered_more(300, 10)
        stand.kill()
        down = time.monotonic_ns()
        suite.cluster.resume()
        stand.start(within=30)
        up = time.monotonic_ns()
        load.answered_more(300, 10)
        load.stop()
        stand.judge(within=20, broken=True,
                    unavailable=lambda e: removed - GRACE < e.sent < removed + GRACE or down - GRACE < e.sent < up + GRACE)
