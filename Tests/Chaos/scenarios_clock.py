"""The bridge's clock is wrong, or becomes right (a preloaded shim)."""

import time
from datetime import datetime

from report import check
from scenarios_spool import needs_spool
from stand import Stand, eventually


def offsets(reader, references):
    """(record's timestamp, receivedAt) of events, both as seconds ahead of the clock of this machine when they were read."""
    with reader.lock:
        copies = [reader.first[r] for r in references if r in reader.first]
    return [(c.timestamp / 1e3 - time.time(), datetime.fromisoformat(c.received).timestamp() - time.time()) for c in copies]


def nothing_given_up(stand, reader):
    with stand.case("no event is in the quarantine, none is parked"):
        quarantined = sum(copy.topic == "quarantine" for copy in reader.first.values())
        check(not quarantined, f"{quarantined} are in the quarantine topic")
        check(stand.metric("smsbridge_spool_parked_events") == 0, f"{stand.metric('smsbridge_spool_parked_events')} are parked")


def all_sent(stand, within):
    """That nothing waits in the spool once the clock is right."""
    began = time.monotonic()
    with stand.case(f"once the clock is right, everything is in Kafka within {within} s"):
        left = lambda: stand.metric("smsbridge_spool_events") or 0
        check(eventually(lambda: left() == 0, within), f"{left():.0f} events wait")
    stand.figures(complete_after=f"{time.monotonic() - began:.1f} s")


def judge(stand, within):
    """At the moment of a step, an event may be rejected while a later one of its number is not: these are counted."""
    entries = stand.judge(within=within, unavailable=False, overtaken=lambda e: True)
    with stand.case("events that overtook a rejected one are counted"):
        inverted = stand._inversions(stand.reader, [e for e in entries if e.acknowledged])
        counted = stand.metric("smsbridge_events_reordered_total")
        check(len(inverted) <= counted, f"{len(inverted)} are out of order, the metric says {counted}")
    return entries


def clock_ahead(suite):
    """the clock is two hours ahead for some seconds, under a running bridge"""
    if needs_spool(suite, "clock-ahead"):
        return
    with Stand(suite, "clock-ahead", faults=True).start() as stand:
        reader = stand.read()
        load = stand.load(200)
        load.answered_more(200, 20)
        stand.faults.step_clock(7200)
        wrong = time.monotonic_ns()
        time.sleep(5)
        stand.expect_metric("smsbridge_clock_steps_total")
        stand.expect_log("clock stepped")
        stand.expect_metric("smsbridge_timestamps_rejected_total")
        stand.expect_log("Kafka rejects timestamps")
        stand.expect_alert("timestamps")
        stand.expect_finding("timestamps")
        stand.faults.step_clock(0)
        right = time.monotonic_ns()
        all_sent(stand, 10)
        load.answered_more(200, 10)
        load.stop()
        entries = judge(stand, 60 if suite.long else 10)
        nothing_given_up(stand, reader)
        during = [e.reference for e in entries if e.acknowledged and wrong + 500_000_000 < e.sent < right - 500_000_000]
        found = offsets(reader, during)
        with stand.case("the records have a timestamp that the broker accepts"):
            check(found and all(abs(at) < 3600 for at, _ in found), f"up to {max((at for at, _ in found), default=0):.0f} s ahead")
        with stand.case("the events keep the time at which they were received"):
            check(found and all(7000 < received < 7300 for _, received in found),
                  f"{min((r for _, r in found), default=0):.0f} to {max((r for _, r in found), default=0):.0f} s ahead")


def clock_behind(suite):
    """the clock is 20 days behind, at the start and by a step: retention must not delete what was acknowledged"""
    if needs_spool(suite, "clock-behind"):
        return
    behind = -20 * 86400
    with Stand(suite, "clock-behind", faults=True) as stand:
        stand.faults.step_clock(behind)
        stand.start()
        load = stand.load(100)
        load.answered_more(300, 20)
        stand.expect_alert("timestamps")
        stand.expect_finding("timestamps")
        time.sleep(5)  # the broker looks for expired segments every 2 s
        with stand.case("the broker has deleted nothing"):
            starts = suite.cluster.first_offsets(stand.prefix)
            check(starts and not any(starts.values()), f"partitions begin at {starts}")
        stand.expect_metric("smsbridge_timestamps_rejected_total")
        stand.faults.step_clock(0)
        stand.expect_metric("smsbridge_clock_steps_total")
        stand.expect_log("clock stepped")
        all_sent(stand, 10)
        if suite.long:
            stand.faults.step_clock(behind)
            load.answered_more(1000, 20)
            stand.faults.step_clock(0)
            all_sent(stand, 10)
        load.answered_more(100, 10)
        load.stop()
        # It begins to read now: what was deleted is missing.
        judge(stand, 15)
        nothing_given_up(stand, stand.reader)


def clock_unsynchronized(suite):
    """the clock is set by a few seconds, and the kernel says that it is not synchronized: it is reported, nothing else"""
    with Stand(suite, "clock-unsynchronized", faults=True) as stand:
        stand.faults.synchronized(False)
        stand.start()
        load = stand.load(100)
        load.answered_more(100, 10)
        stand.expect_metric("smsbridge_clock_synchronized", least=0, most=0)
        stand.faults.step_clock(5)
        stand.expect_metric("smsbridge_clock_steps_total")
        stand.expect_log("clock stepped")
        stand.expect_alert("clock was stepped")
        stand.expect_finding("clock was stepped")
        stand.faults.synchronized(True)
        stand.expect_metric("smsbridge_clock_synchronized", within=20)
        load.stop()
        stand.judge()
