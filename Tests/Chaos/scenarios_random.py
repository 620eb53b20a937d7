"""Faults of the disk, of Kafka, of the process and of the clock at the same time, at random."""

import errno
import random
import secrets
import subprocess
import threading
import time

from report import check
from scenarios_spool import needs_spool
from stand import Stand

DISK = {
    "disk hangs": lambda faults, _: faults.hang(),
    "disk hangs, reads too": lambda faults, _: faults.hang(reads=True),
    "writes fail": lambda faults, _: faults.fail_writes(),
    "disk full": lambda faults, _: faults.fail_writes(errno.ENOSPC),
    "reads fail": lambda faults, _: faults.fail_reads(),
    "syncs fail": lambda faults, _: faults.fail_syncs(),
    "syncs take 300 ms": lambda faults, _: faults.slow_syncs(300),
    "quota used up": lambda faults, stand: faults.quota(stand.spool_bytes()),
}
# Name, weight. Killing a broker takes seconds.
KAFKA = {"paused": 4, "held": 3, "cut": 2, "late by 150 ms": 2, "killed": 1}
# Kafka answers all the time, or is back at once.
HARMLESS = {"cut", "late by 150 ms"}
PROCESS = ["kill -9", "SIGTERM"]
CLOCK = {"2 h ahead": 7200, "20 days behind": -20 * 86400, "5 s ahead": 5, "5 s behind": -5}
# The broker does not take these times.
WRONG_TIME = {"2 h ahead", "20 days behind"}
SECOND = 1_000_000_000
SHUTDOWN = 4


class Plan:
    """What fails in a round, from when to when (seconds)."""

    def __init__(self, chance):
        pick = lambda probability, names, weights=None: \
            chance.choices(list(names), weights)[0] if chance.random() < probability else None
        self.disk = self.kafka = self.process = self.clock = None
        while sum(map(bool, (self.disk, self.kafka, self.process, self.clock))) < 2:
            self.disk = pick(0.75, DISK)
            self.kafka = pick(0.75, KAFKA, list(KAFKA.values()))
            self.process = pick(0.4, PROCESS)
            self.clock = pick(0.3, CLOCK)
        # The disk matters while Kafka is away, and when it comes back.
        began = chance.uniform(0, 0.5)
        self.times = {"kafka": (began, began + chance.uniform(0.3, 1.4))}
        for kind in ("disk", "process", "clock"):
            began = chance.uniform(0, self.times["kafka"][1])
            self.times[kind] = (began, began + chance.uniform(0.2, 1.6))

    def __str__(self):
        parts = [(kind, name) for kind in ("disk", "kafka", "clock", "process") if (name := getattr(self, kind))]
        return ", ".join(f"{kind} {name} {self.times[kind][0]:.2f}" + (f"–{self.times[kind][1]:.2f}" if kind != "process" else "")
                         for kind, name in parts)


class Rounds:
    def __init__(self, suite, stand, load):
        self.suite, self.stand, self.load = suite, stand, load
        self.kafka, self.down, self.disk, self.hopeless = [], [], [], []  # (began, ended) in ns
        self.restarting = self.shutdown = None
        self.slowest_shutdown = 0.0

    def break_kafka(self, name):
        cluster = self.suite.cluster
        match name:
            case "paused": cluster.pause()
            case "held": cluster.proxy.tell("hold")
            case "cut": cluster.proxy.tell("cut")
            case "late by 150 ms": cluster.proxy.tell("delay 0.15")
            case "killed": cluster.stop(kill=True)

    def repair_kafka(self, name):
        cluster = self.suite.cluster
        match name:
            case "paused": cluster.resume_all()
            case "held": cluster.proxy.tell("pass")
            case "late by 150 ms": cluster.proxy.tell("delay 0")
            case "killed": cluster.start()

    def restart(self, name):
        """Ends the bridge and starts it again, on a thread: neither needs to succeed before the other faults end."""
        stand, process = self.stand, self.stand.bridge.process

        def run():
            began = time.monotonic()
            if name == "SIGTERM":
                process.terminate()
                try:
                    process.wait(SHUTDOWN + 10)
                except subprocess.TimeoutExpired:
                    process.kill()
                self.slowest_shutdown = max(self.slowest_shutdown, time.monotonic() - began)
            else:
                process.kill()
            process.wait(10)
            try:
                stand.start(within=60)
            except OSError as error:
                self.failure = error

        self.failure = None
        self.restarting = threading.Thread(target=run)
        self.restarting.start()

    def run(self, plan):
        stand, began = self.stand, time.monotonic_ns()
        actions = []
        if plan.disk:
            actions += [(plan.times["disk"][0], lambda: DISK[plan.disk](stand.faults, stand)),
                        (plan.times["disk"][1], lambda: self.end_disk(plan))]
        if plan.kafka:
            actions += [(plan.times["kafka"][0], lambda: self.break_kafka(plan.kafka)),
                        (plan.times["kafka"][1], lambda: self.repair_kafka(plan.kafka))]
        if plan.clock:
            actions += [(plan.times["clock"][0], lambda: stand.faults.step_clock(CLOCK[plan.clock])),
                        (plan.times["clock"][1], lambda: stand.faults.step_clock(0))]
        if plan.process:
            actions.append((plan.times["process"][0], lambda: self.restart(plan.process)))
        ended = {}
        for at, act in sorted(actions, key=lambda pair: pair[0]):
            time.sleep(max(0.0, at - (time.monotonic_ns() - began) / SECOND))
            act()
            ended[at] = time.monotonic_ns()
        if plan.process:
            self.restarting.join()
            check(self.failure is None, f"it did not start again: {self.failure}")
            self.down.append((began, time.monotonic_ns()))
        if plan.kafka and plan.kafka not in HARMLESS:
            self.kafka.append((began, ended[plan.times["kafka"][1]]))
        if plan.disk:
            self.disk.append((began, ended[plan.times["disk"][1]]))
        if plan.disk and plan.clock in WRONG_TIME:
            self.hopeless.append((began, max(ended[plan.times[kind][1]] for kind in ("disk", "clock"))))

    def end_disk(self, plan):
        self.stand.faults.set(write_hang=0, read_hang=0, write_errno=0, read_errno=0, sync_errno=0, sync_delay_ms=0, quota_bytes=0)

    @staticmethod
    def within(windows, at, after):
        return any(began < at < ended + after for began, ended in windows)

    def may_be_unavailable(self, entry):
        return self.within(self.kafka + self.down + self.hopeless, entry.sent, SECOND)

    def may_be_overtaken(self, entry):
        # Every fault of the disk can make a caller wait for half a second, for which the backlog is bypassed.
        return any(began - 10 * SECOND < entry.sent < ended + SECOND for began, ended in self.disk)


def random_combinations(suite):
    """faults of disk, Kafka, process and clock at the same time, at random (--seed repeats them, --rounds)"""
    if needs_spool(suite, "random-combinations"):
        return
    seed = suite.seed if suite.seed is not None else secrets.randbits(32)
    count = suite.rounds or (200 if suite.long else 10)
    chance = random.Random(seed)
    environment = {"SMSBRIDGE_SHUTDOWN_DEADLINE": f"{SHUTDOWN}s"}
    with Stand(suite, "random-combinations", bootstrap=suite.cluster.through, environment=environment, faults=True).start() as stand:
        stand.tell(f"--seed {seed}, {count} rounds")
        stand.read()
        load = stand.load(300, 7200, connections=512)
        load.answered_more(300, 20)
        rounds = Rounds(suite, stand, load)
        for turn in range(count):
            plan = Plan(chance)
            stand.tell(f"round {turn + 1}, {(time.monotonic_ns() - load.began) / SECOND:.1f} s into the load: {plan}")
            rounds.run(plan)
            with stand.case(f"round {turn + 1}: service goes on ({plan})"):
                load.answered_more(100, 30)
                stand.alive()
            time.sleep(chance.uniform(0.2, 1.2))
        load.answered_more(300, 20)
        load.stop()
        stand.judge(within=60, broken=True, unavailable=rounds.may_be_unavailable, overtaken=rounds.may_be_overtaken)
        with stand.case("no event is given up"):
            quarantined = sum(copy.topic == "quarantine" for copy in stand.reader.first.values())
            parked = stand.metric("smsbridge_spool_parked_events")
            check(not quarantined and not parked, f"{quarantined} are in the quarantine topic, {parked:.0f} are parked")
        with stand.case("SIGTERM: it ends within shutdown.deadline, whatever fails"):
            check(rounds.slowest_shutdown < SHUTDOWN + 1.5, f"it took {rounds.slowest_shutdown:.1f} s")
        stand.figures(rounds=count, seed=seed, calls_of_the_disk_that_failed=stand.faults.hits)
