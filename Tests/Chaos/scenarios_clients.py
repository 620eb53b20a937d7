"""Clients that behave badly, or are too many; and the long run."""

import random
import resource
import selectors
import socket
import time

from report import check
from scenarios_spool import event
from stand import Stand

from ledger import percentile


class BadClients:
    """Connections that begin something and do not end it."""

    def __init__(self, port):
        self.port, self.sockets = port, []

    def _open(self):
        one = socket.socket()
        one.settimeout(5)
        one.connect(("127.0.0.1", self.port))
        self.sockets.append(one)
        return one

    def half_open(self, count):
        whole = event("c00000000-0-0")
        for n in range(count):
            # Nothing at all, half a head, a head alone, half a body.
            cut = (0, 40, whole.index(b"\r\n\r\n") + 4, len(whole) - 20)[n % 4]
            self._open().sendall(whole[:cut])

    def never_read(self, count, cap=400):
        """Sends requests one behind the other and takes no answer, until no more goes in. Returns the bytes that did."""
        whole, total = event("c00000000-0-0"), 0
        for _ in range(count):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.settimeout(5)
            one.connect(("127.0.0.1", self.port))
            one.setblocking(False)
            self.sockets.append(one)
        with selectors.DefaultSelector() as selector:
            for one in self.sockets[-count:]:
                selector.register(one, selectors.EVENT_WRITE, [0])
            until = time.monotonic() + 3
            while selector.get_map() and time.monotonic() < until:
                for key, _ in selector.select(0.2):
                    try:
                        total += key.fileobj.send(whole * 20)
                        key.data[0] += 20
                        if key.data[0] >= cap:
                            selector.unregister(key.fileobj)
                    except BlockingIOError:
                        pass
                    except OSError:
                        selector.unregister(key.fileobj)
        return total

    def close(self):
        for one in self.sockets:
            one.close()


def raise_limit(count):
    """Descriptors, for us and what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard >= count


def bounded(stand, what, bound=None):
    bound = bound or stand.suite.memory
    with stand.case(f"memory stays under {bound} MB: {what}"):
        most = stand.memory()
        stand.figures(most_memory=f"{most:.0f} MB")
        check(most < bound, f"{most:.0f} MB")


def slow_clients(suite):
    """2,000 half-open clients and 200 that never read; good ones are served meanwhile"""
    raise_limit(8000)
    with Stand(suite, "slow-clients").start() as stand:
        load = stand.load(300)
        load.answered_more(300, 20)
        bad = BadClients(stand.ports[0])
        try:
            bad.half_open(2000)
            sent = bad.never_read(200)
            stand.figures(bad_clients=len(bad.sockets), bytes_sent_by_those_who_do_not_read=sent)
            with stand.case("good clients are served meanwhile"):
                load.answered_more(300, 10)
            time.sleep(30 if suite.long else 12)  # longer than the limits of 10 s
            load.answered_more(300, 10)
            with stand.case("half-open connections were ended at their limits"):
                left = stand.metric("smsbridge_http_connections")
                stand.figures(open_connections=left)
                # Those that said nothing at all are idle, not slow: they may stay for http.idleTimeout.
                check(left < 64 + 500 + 200 + 50, f"{left:.0f} are open")
            bounded(stand, "2,200 bad clients")
        finally:
            bad.close()
        load.answered_more(300, 10)
        load.stop()
        # The events of those who never read are in Kafka, too; their reference is one that the judge does not know.
        stand.judge(within=30, unavailable=False, strangers="c00000000-")


def many_connections(suite):
    """close to 10,000 keep-alive connections, all of them used"""
    if not raise_limit(11000):
        return suite.report.skip("many-connections", "the limit of open files is too low (ulimit -Hn 20000)")
    with Stand(suite, "many-connections").start() as stand:
        load = stand.load(2000, 20 if suite.long else 8, connections=9900, numbers=2)
        load.until(lambda p: p["connected"] >= 9900, 30, "9,900 connections")
        load.finish()
        bounded(stand, "9,900 connections")
        stand.judge(within=30, unavailable=False)


def overload(suite):
    """three times the rate that it can sustain, on 2,000 connections; then a calm time"""
    raise_limit(8000)
    with Stand(suite, "overload", partitions=6).start() as stand:
        first = stand.load(1_000_000, 2)
        done = first.finish()
        sustained = done["ok"] / 2
        over = stand.load(sustained * 3, 20 if suite.long else 4, connections=2000)
        over.finish()
        stand.figures(sustained=f"{sustained:.0f}/s", reached=f"{over.summary['ok'] / over.summary['seconds']:.0f}/s")
        bounded(stand, "three times the sustainable rate")
        calm = stand.load(300, 4)
        calm.finish()
        with stand.case("afterwards all is as before"):
            check(calm.summary["ok"] == calm.summary["sent"], f"{calm.summary}")
            late = percentile([e.seconds for e in calm.entries], 99)
            stand.figures(p99_afterwards=f"{late * 1e3:.1f} ms")
            check(late < suite.limit, f"p99 is {late * 1e3:.0f} ms")
            deadline = time.monotonic() + 30
            while (waiting := stand.metric("smsbridge_http_requests_in_flight")) and time.monotonic() < deadline:
                time.sleep(0.1)
            check(not waiting, f"{waiting} requests still wait")
        # The kernel's buffers hold what the bridge has not read yet: promise 2 counts from there on. Here, the caller's patience.
        stand.judge(within=60, unavailable=True, limit=10)


def overload_without_kafka(suite):
    """the same while Kafka hangs"""
    raise_limit(8000)
    with Stand(suite, "overload-without-kafka").start() as stand:
        load = stand.load(200, 1)
        load.finish()
        suite.cluster.pause()
        over = stand.load(20000, 20 if suite.long else 4, connections=2000)
        over.finish()
        stand.figures(reached=f"{(over.summary['ok'] + over.summary['unavailable']) / over.summary['seconds']:.0f}/s")
        bounded(stand, "20,000/s while Kafka hangs")
        suite.cluster.resume()
        calm = stand.load(300)
        with stand.case("afterwards all is as before"):
            calm.answered_more(600, 30)
        calm.stop()
        stand.judge(within=120, unavailable=True, limit=10, order=suite.spool != "none")


def soak(suite, seconds=None):
    """random faults at a moderate rate; memory, descriptors and spool do not grow"""
    seconds = seconds or suite.soak or (600 if suite.long else 15)
    rate = 200
    with Stand(suite, "soak", bootstrap=suite.cluster.through).start() as stand:
        stand.read()
        load = stand.load(rate, seconds + 300, connections=64 if suite.spool != "none" else 512)
        load.answered_more(rate * 3, 20)
        faults = {
            "pause": lambda: (suite.cluster.pause(), time.sleep(random.uniform(0.05, 4)), suite.cluster.resume()),
            "cut": lambda: suite.cluster.proxy.tell("cut"),
            "hold": lambda: (suite.cluster.proxy.tell("hold"), time.sleep(random.uniform(0.05, 3)), suite.cluster.proxy.tell("pass")),
            "delay": lambda: (suite.cluster.proxy.tell(f"delay {random.choice([0.05, 0.15, 1.0])}"),
                              time.sleep(random.uniform(0.5, 4)), suite.cluster.proxy.tell("delay 0")),
            "kill": lambda: (suite.cluster.stop(kill=True), time.sleep(random.uniform(0, 3)), suite.cluster.start()),
        }
        calm, counts, until = [], {}, time.monotonic() + seconds
        while time.monotonic() < until:
            name = random.choice(list(faults))
            counts[name] = counts.get(name, 0) + 1
            faults[name]()
            load.answered_more(rate // 2, 60)
            time.sleep(random.uniform(0.5, 2))
            stand.alive()
            calm.append((stand.memory("VmRSS"), stand.descriptors(), stand.spool_bytes()))
        load.answered_more(rate, 60)
        load.stop()
        stand.judge(within=120, order=suite.spool != "none")
        # Drained, it gives its room back at the next quiet moment.
        deadline = time.monotonic() + 15
        while (size := stand.spool_bytes()) > calm[0][2] + (4 << 20) and time.monotonic() < deadline:
            time.sleep(0.2)
        first, last = calm[max(0, len(calm) // 4 - 1)], (stand.memory("VmRSS"), stand.descriptors(), size)
        stand.figures(faults=counts, memory=f"{first[0]:.1f} → {last[0]:.1f} MB", descriptors=f"{first[1]} → {last[1]}",
                      spool=f"{first[2] / 1e6:.1f} → {last[2] / 1e6:.1f} MB")
        with stand.case("neither memory nor descriptors nor spool grow"):
            check(last[0] < max(first[0] * 1.5, first[0] + 30), f"memory {first[0]:.1f} → {last[0]:.1f} MB")
            check(last[1] <= first[1] + 20, f"descriptors {first[1]} → {last[1]}")
            check(last[2] < 40 << 20, f"the spool is drained and takes {last[2] / 1e6:.1f} MB")
