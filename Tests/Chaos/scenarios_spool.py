"""Faults of the bridge itself and of its disk."""

import glob
import os
import random
import re
import subprocess
import time

from report import check
from stand import SECRET, Stand

from ledger import percentile
from wire import Connection, request


def needs_spool(suite, name):
    if suite.spool == "none":
        suite.report.skip(name, "it is about the spool")
        return True
    return False


class Disk:
    """A file system of its own in a file (root only)."""

    def __init__(self, suite, megabytes):
        self.image = os.path.join(suite.folder, f"disk-{random.randrange(1 << 30)}.img")
        self.mount = self.image + ".d"
        os.mkdir(self.mount)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True)
        self._mount("-o", "loop", self.image)

    def _mount(self, *arguments):
        subprocess.run(["mount", *arguments, self.mount], check=True)

    def read_only(self, yes):
        self._mount("-o", "remount,ro" if yes else "remount,rw")

    def fill(self):
        """Takes every byte that is left."""
        with open(os.path.join(self.mount, "filler"), "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def free(self):
        os.unlink(os.path.join(self.mount, "filler"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if subprocess.run(["umount", self.mount], capture_output=True).returncode != 0:
            subprocess.run(["umount", "-l", self.mount], check=False)  # somebody still has a file open
        os.unlink(self.image)


def mountable(suite, name):
    if os.geteuid() != 0:
        suite.report.skip(name, "only root may mount a disk of its own")
        return False
    try:
        with Disk(suite, 8):
            return True
    except (OSError, subprocess.CalledProcessError) as error:
        suite.report.skip(name, f"a disk of its own cannot be mounted here: {error}")
        return False


def kill9(suite):
    """the bridge is killed with -9 at random moments: lanes open, closed, draining"""
    rounds = suite.rounds or (51 if suite.long else 6)
    states = ["open", "closed", "draining"] if suite.spool != "none" else ["open"]
    with Stand(suite, "kill9").start() as stand:
        stand.read()  # at the end, there are too many records for the time that the judge gives
        load = stand.load(600, 3600)
        load.answered_more(300, 20)
        slowest = 0.0
        for turn in range(rounds):
            state = states[turn % len(states)]
            if state != "open":
                suite.cluster.pause()
                time.sleep(random.uniform(0.05, 1.5))
            if state == "draining":
                suite.cluster.resume()
                # The drain of what a second brings is over in tens of milliseconds.
                time.sleep(random.uniform(0.0, 0.25))
            if state == "open":
                time.sleep(random.uniform(0.0, 0.7))
            stand.kill()
            early = state == "closed" and random.random() < 0.5
            if not early:
                suite.cluster.resume_all()
            began = time.monotonic()
            stand.start(within=40)
            slowest = max(slowest, time.monotonic() - began)
            if early:
                load.answered_more(20, 20)
                suite.cluster.resume_all()
            load.answered_more(100, 20)
        load.stop()
        stand.judge(within=60, broken=True, order=suite.spool != "none")
        stand.figures(rounds=rounds, slowest_start=f"{slowest:.2f} s")


def event(reference, number="27001999999"):
    body = (f'{{"Status":"DELIVRD","EventId":1,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"{number}","Received":1735711200,'
            f'"UserReference":"{reference}"}}').encode()
    return request("POST", "/webhooks/delivery-status", [("X-Webhook-Secret", SECRET), ("Content-Type", "application/json")], body)


LINE = re.compile(r"^(\d+)\s+(\d+\.\d+) (.*?)(?: <(\d+\.\d+)>)?$")


def system_calls(path):
    """(began, ended, call) of a trace by strace -f -ttt -T, parts put together; in order of their ends."""
    open_calls, found = {}, []
    with open(path, encoding="latin-1") as file:
        for line in file:
            match = LINE.match(line)
            if not match:
                continue
            pid, at, text, took = match.group(1), float(match.group(2)), match.group(3), float(match.group(4) or 0)
            if text.endswith("<unfinished ...>"):
                open_calls[pid] = (at, text[:-len("<unfinished ...>")])
            elif text.startswith("<..."):
                began, head = open_calls.pop(pid, (at, ""))
                found.append((began, at, head + text.partition("resumed>")[2]))
            else:
                found.append((at, at + took, text))
    return found


def fsync(suite):
    """strace sees the event written to the spool and synced between the request and its 200"""
    if needs_spool(suite, "fsync"):
        return
    if subprocess.run(["which", "strace"], capture_output=True).returncode != 0:
        return suite.report.skip("fsync", "strace is not there")
    with Stand(suite, "fsync").start() as stand:
        warm = stand.load(50, 1)
        warm.finish()
        suite.cluster.pause()
        for state in ("the first event after Kafka went away", "an event behind a closed lane"):
            trace = os.path.join(stand.folder, f"trace-{len(state)}")
            tracer = subprocess.Popen(
                ["strace", "-f", "-ttt", "-T", "-y", "-s", "6000", "-o", trace, "-e",
                 "trace=read,recvfrom,recvmsg,readv,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync",
                 "-p", str(stand.bridge.process.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                tracer.stderr.readline()  # "Process … attached"
                time.sleep(0.3)
                check(tracer.poll() is None, "strace cannot attach")
                reference = f"c{random.randrange(1 << 32):08x}-999999-0"
                with Connection(stand.bridge.url) as connection:
                    connection.send(event(reference))
                    answer = connection.answer()
                time.sleep(0.2)
            finally:
                tracer.terminate()
                tracer.wait(10)
            with stand.case(f"{state}: its row is written and synced before it is answered"):
                check(answer is not None and answer.status == 200, f"the answer is {answer}")
                calls = system_calls(trace)
                requests = [e for b, e, t in calls if t.startswith(("read", "recv")) and reference in t]
                check(requests, "the trace does not show the request being read")
                writes = [(b, e) for b, e, t in calls if t.startswith("pwrite") and stand.spool in t and reference in t]
                check(writes, "no write to the spool has the event in it")
                answers = [b for b, e, t in calls if t.startswith(("write", "send")) and "HTTP/1.1 200" in t and b > requests[0]]
                check(answers, "the trace does not show the answer being written")
                syncs = [(b, e) for b, e, t in calls if t.startswith(("fsync(", "fdatasync(")) and stand.spool in t
                         and t.rstrip().endswith("= 0") and b >= writes[0][1] and e <= answers[0]]
                check(requests[0] <= writes[0][0], "the event is written before it was read")
                check(syncs, f"no sync of the spool between the write and the answer: request read at {requests[0]:.6f}, "
                      f"written at {writes[0][1]:.6f}, answered at {answers[0]:.6f}")
                stand.figures(read_to_write=f"{(writes[0][0] - requests[0]) * 1e3:.2f} ms",
                              sync=f"{(syncs[0][1] - syncs[0][0]) * 1e3:.2f} ms",
                              answer_after_sync=f"{(answers[0] - syncs[0][1]) * 1e3:.2f} ms")
        suite.cluster.resume()


def disk_full(suite):
    """the spool's disk fills up while Kafka is away, and is given room again"""
    if needs_spool(suite, "disk-full") or not mountable(suite, "disk-full"):
        return
    with Disk(suite, 48) as disk, Stand(suite, "disk-full", spool=os.path.join(disk.mount, "spool")).start() as stand:
        load = stand.load(400, pad=3000, connections=128)
        load.answered_more(400, 20)
        suite.cluster.pause()
        with stand.case("a full disk is told by 503"):
            load.until(lambda p: p["unavailable"] > 100, 60, "503s, the disk being full")
        not_ready(stand)
        stand.alive()
        time.sleep(1)
        suite.cluster.resume()
        with stand.case("Kafka being back, the disk empties itself and service goes on without a restart"):
            load.answered_more(800, 60)
            calm = load.progress()["unavailable"]
            time.sleep(3)
            # What the drain still holds may refuse a few more.
            time.sleep(2)
            last = load.progress()["unavailable"]
            time.sleep(2)
            check(load.progress()["unavailable"] == last, f"503s go on: {calm}, {last}, {load.progress()['unavailable']}")
        # Now somebody else takes every byte: not our reserve refuses, the disk does.
        disk.fill()
        suite.cluster.pause()
        before = load.progress()
        with stand.case("with no byte left, a 503 and no lie"):
            load.until(lambda p: p["unavailable"] > before["unavailable"] + 100, 30, "503s, no byte being left")
        disk.free()
        with stand.case("with room again, 200 from the spool, Kafka still being away"):
            load.answered_more(200, 20)
        suite.cluster.resume()
        load.answered_more(400, 30)
        load.stop()
        # What the full disk rejects is handed over past the backlog once callers have waited too long: no order between the two.
        stand.judge(within=60, unavailable=True, order=False)


def not_ready(stand):
    """To be asked while everybody is refused."""
    with stand.case("while every event is answered 503, the instance is not ready"):
        comes_to(stand, 503)


def comes_to(stand, status, within=10):
    until = time.monotonic() + within
    while stand.status() != status and time.monotonic() < until:
        time.sleep(0.1)
    check(stand.status() == status, f"/readyz says {stand.status()}")


def spool_full(suite):
    """the spool reaches spool.maxBytes"""
    if needs_spool(suite, "spool-full"):
        return
    bound = 16 << 20
    with Stand(suite, "spool-full", environment={"SMSBRIDGE_SPOOL_MAX_BYTES": "16MiB"}).start() as stand:
        load = stand.load(500, pad=4000, connections=128)
        load.answered_more(200, 20)
        suite.cluster.pause()
        with stand.case("a full spool is told by 503"):
            load.until(lambda p: p["unavailable"] > 200, 60, "503s, the spool being full")
        not_ready(stand)
        most = stand.spool_bytes()
        with stand.case("it stays near its bound"):
            # The log of SQLite comes on top, and a ballast for the full disk.
            stand.figures(spool_bytes=f"{most / 1e6:.0f} MB of {bound / 1e6:.0f}")
            check(most < bound + (32 << 20), f"{most / 1e6:.0f} MB on the disk, bounded at {bound / 1e6:.0f}")
        suite.cluster.resume()
        with stand.case("service goes on without a restart"):
            load.answered_more(1000, 60)
        with stand.case("it is ready again"):
            comes_to(stand, 200)
        load.stop()
        stand.judge(within=60, unavailable=True)
        with stand.case("the disk gets its room back"):
            deadline = time.monotonic() + 20
            while stand.spool_bytes() > most // 2 and time.monotonic() < deadline:
                time.sleep(0.2)
            stand.figures(spool_bytes_afterwards=f"{stand.spool_bytes() / 1e6:.1f} MB")
            check(stand.spool_bytes() <= most // 2 + (17 << 20), f"{stand.spool_bytes() / 1e6:.1f} of {most / 1e6:.1f} MB are left")


def spool_not_writable(suite):
    """the spool's directory cannot be written to, then can"""
    if needs_spool(suite, "spool-not-writable") or not mountable(suite, "spool-not-writable"):
        return
    with Disk(suite, 64) as disk:
        folder = os.path.join(disk.mount, "spool")
        os.mkdir(folder)
        disk.read_only(True)
        with Stand(suite, "spool-not-writable", spool=folder) as stand:
            with stand.case("Kafka being there, it serves"):
                stand.start(within=20)
            load = stand.load(300, connections=512)
            load.answered_more(300, 20)
            # An event that Kafka has late, on a machine under load, finds no spool: a 503 then is honest.
            so_far = load.progress()
            with stand.case("few events are refused while Kafka is there"):
                check(so_far["unavailable"] <= 0.1 * so_far["sent"], f"{so_far}")
            suite.cluster.pause()
            with stand.case("Kafka being away, a 503 and no lie"):
                load.until(lambda p: p["unavailable"] > 100, 20, "503s")
                time.sleep(1)
                before = load.progress()["ok"]
                time.sleep(1)
                check(load.progress()["ok"] == before, f"{load.progress()['ok'] - before} events got 200 from nowhere")
            disk.read_only(False)
            with stand.case("writable again, 200 from the spool without a restart, Kafka still being away"):
                load.answered_more(300, 20)
            suite.cluster.resume()
            load.answered_more(300, 30)
            load.stop()
            stand.judge(within=60, unavailable=True)


def damage(file, offset, size=16384):
    with open(file, "r+b") as raw:
        raw.seek(offset)
        raw.write(os.urandom(size))


def spool_damaged(suite):
    """the spool's file is damaged between two runs: empty and its head, full and its middle, and the log of SQLite"""
    if needs_spool(suite, "spool-damaged"):
        return
    for part in ("the head of an empty file", "the middle of a file with events", "the log"):
        with Stand(suite, "spool-damaged").start() as stand:
            file, inside = os.path.join(stand.spool, "spool.db"), set()
            load = stand.load(500, 60)
            suite.cluster.pause()
            load.answered_more(1500, 20)
            if part.startswith("the head"):
                suite.cluster.resume()  # it drains: what the damage takes, Kafka has
                load.stop()
                stand.judge(within=30)
                stand.terminate(40)
                damage(file, 0)
            else:
                if part == "the log":
                    stand.kill()
                else:
                    stand.terminate(40)  # the end carries the log over into the file
                load.stop()
                suite.cluster.resume()
                inside = {e.reference for e in load.entries if e.acknowledged}
                damaged = file + "-wal" if part == "the log" else file
                damage(damaged, os.path.getsize(damaged) // 2)
            with stand.case(f"{part} is damaged: it starts all the same"):
                stand.start(within=30)
            again = stand.load(500, 60)
            suite.cluster.pause()
            with stand.case(f"{part} is damaged: 200 from the spool afterwards"):
                again.answered_more(500, 20)
            suite.cluster.resume()
            again.answered_more(300, 30)
            again.stop()
            time.sleep(1)
            aside = sorted(name for name in os.listdir(stand.spool) if "quarantined" in name)
            said = [line[:160] for line in stand.bridge.log().splitlines() if "moved aside" in line]
            if part != "the log":
                with stand.case(f"{part} is damaged: the file is set aside, and the log says so"):
                    check(aside, f"the folder has {sorted(os.listdir(stand.spool))}")
                    check(said, "its log says nothing of it")
            # What of the file was sound went on by itself; nothing that was never sent is in Kafka (judge). An event whose
            # row the damage took may still come from a request of the killed process, which the broker reads after its pause.
            stand.judge(within=20, broken=True, lost=lambda e: e.reference in inside, overtaken=lambda e: e.reference in inside)
            if part == "the middle of a file with events":
                with stand.case("what is sound of a damaged file is in Kafka"):
                    lost = len(stand.reader.missing(inside))
                    check(lost < len(inside) // 4, f"{lost} of {len(inside)} events of the damaged file are not in Kafka")
            stand.figures(part=part, events_in_it=len(inside), of_them_not_in_Kafka=len(stand.reader.missing(inside)),
                          files_set_aside=len(aside), lines_that_say_so=len(said))


def spool_deleted(suite):
    """the spool's files are deleted under a running bridge, which is killed with -9 a second later"""
    if needs_spool(suite, "spool-deleted"):
        return
    for what in ("spool.db*", "spool.db-wal", "*"):
        with Stand(suite, "spool-deleted").start() as stand:
            load = stand.load(400, 600)
            load.answered_more(200, 20)
            suite.cluster.pause()
            load.answered_more(400, 20)
            for file in glob.glob(os.path.join(stand.spool, what)):
                os.unlink(file)
            stand.tell(f"deleted: {what}")
            before = load.progress()
            with stand.case(f"{what}: it goes on to answer"):
                load.answered_more(400, 20)
            stand.alive()
            stand.kill()
            suite.cluster.resume()
            stand.start(within=30)
            load.answered_more(200, 20)
            load.stop()
            stand.tell(f"503s after the deletion: {load.progress()['unavailable'] - before['unavailable']}")
            stand.judge(within=15, broken=True, unavailable=True)


def disk_slow(suite):
    """the disk syncs slowly, then very slowly, then not at all (a preloaded shim)"""
    if needs_spool(suite, "disk-slow"):
        return
    with Stand(suite, "disk-slow", faults=True).start() as stand:
        load = stand.load(300, 600, connections=512)
        load.answered_more(300, 20)
        suite.cluster.pause()
        load.answered_more(200, 20)
        before = load.progress()["unavailable"]
        stand.faults.slow_syncs(150)
        with stand.case("each sync takes 150 ms: 200 all the same"):
            load.answered_more(600, 20)
            refused = load.progress()["unavailable"] - before
            check(refused <= 30, f"{refused} of 600 got 503; a sync without that took up to {stand.probe.worst() * 1e3:.0f} ms")
        stand.faults.slow_syncs(3000)
        with stand.case("each sync takes 3 s: 503 at the deadline"):
            load.until(lambda p: p["unavailable"] > before + 100, 20, "503s")
        stand.faults.clear()
        with stand.case("a disk that is well again: 200 without a restart"):
            load.answered_more(600, 30)
        stand.faults.fail_syncs()
        failing = time.monotonic_ns()
        with stand.case("a sync that fails answers nobody"):
            before = load.progress()["unavailable"]
            load.until(lambda p: p["unavailable"] > before + 200, 20, "503s")
            until = time.monotonic_ns()
        stand.faults.clear()
        with stand.case("after failed syncs: 200 without a restart, Kafka still being away"):
            load.answered_more(600, 30)
        suite.cluster.resume()
        load.answered_more(300, 30)
        load.stop()
        entries = stand.judge(within=60, unavailable=True)
        with stand.case("no 200 while neither disk nor Kafka took anything"):
            lies = [e for e in entries if e.acknowledged and failing + 500_000_000 < e.sent and e.answered < until]
            check(not lies, f"{len(lies)} events, first {lies[0].reference if lies else ''}")


def spool_latency(suite):
    """answers from the spool at 2,000/s, and how fast it drains while that rate goes on (figures, not gated)"""
    if needs_spool(suite, "spool-latency"):
        return
    rate, seconds = 2000, 30 if suite.long else 6
    with Stand(suite, "spool-latency", partitions=6).start() as stand:
        load = stand.load(rate)
        load.answered_more(rate, 20)
        suite.cluster.pause()
        paused = time.monotonic_ns()
        time.sleep(seconds)
        resumed, began = time.monotonic_ns(), time.monotonic()
        suite.cluster.resume()
        backlog, start_count = None, None
        deadline = began + seconds + 60
        while time.monotonic() < deadline:
            count, done = suite.cluster.count(stand.prefix), load.progress()["ok"]
            if start_count is None:
                start_count, backlog = count, done - count
            if count >= done - rate * 0.1:
                break
            time.sleep(0.02)
        took = time.monotonic() - began
        drained = count - start_count
        time.sleep(1)
        load.stop()
        entries = stand.judge(within=60)
        calm = [e for e in entries if paused + 1_000_000_000 < e.sent < resumed]
        due = [(e.answered - e.due) / 1e6 for e in calm if e.end == 0]
        sent = [e.seconds * 1e3 for e in calm if e.end == 0]
        stand.figures(
            answers_from_the_spool=len(calm), p50=f"{percentile(sent, 50):.2f} ms", p99=f"{percentile(sent, 99):.2f} ms",
            p99_from_the_due_time=f"{percentile(due, 99):.2f} ms", max=f"{max(sent, default=0):.1f} ms")
        during = [(e.answered - e.due) / 1e6 for e in entries if e.end == 0 and resumed < e.sent < resumed + took * 1e9]
        stand.figures(backlog=backlog, drained_in=f"{took:.2f} s", drain=f"{drained / took:.0f} events/s",
                      times_the_filling_rate=f"{drained / took / rate:.1f}", p99_while_draining=f"{percentile(during, 99):.1f} ms")
        with stand.case("the drain catches up with the rate at which it was filled, that rate going on"):
            check(count >= done - rate * 0.1, f"{done - count} events behind after {took:.0f} s")


def shutdown(suite):
    """SIGTERM with events on their way: exit 0 in time, nothing lost"""
    for twice in (False, True):
        with Stand(suite, "shutdown", environment={"SMSBRIDGE_SHUTDOWN_DEADLINE": "6s"}).start() as stand:
            load = stand.load(300)
            load.answered_more(300, 20)
            if suite.spool != "none":
                suite.cluster.pause()
                load.answered_more(200, 20)
            if twice:
                stand.bridge.terminate()
                time.sleep(0.1)
            status, took = stand.terminate(12)
            text = "a second SIGTERM ends it at once" if twice else "SIGTERM: exit 0 within shutdown.deadline"
            with stand.case(text):
                stand.figures(ended_after=f"{took:.2f} s", status=status)
                check(status == 0 or twice, f"it ended with {status}: {stand.bridge.log()[-300:]}")
                check(took < (2 if twice else 6), f"it took {took:.1f} s")
            suite.cluster.resume_all()
            stand.start()
            load.answered_more(200, 20)
            load.stop()
            stand.judge(within=30, broken=True, unavailable=True, order=suite.spool != "none")
