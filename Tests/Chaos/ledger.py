"""The load generator as a process, and its ledger: which event was sent when, and what was answered."""

import json
import mmap
import os
import secrets
import struct
import subprocess
import time
from dataclasses import dataclass

from report import check

ROW = struct.Struct("<IIBBHIQQQ")
TOPICS = ["delivery-status", "reply", "short-code", "url-preview", "url-click"]
ENDS = ["answered", "connection ended", "no answer in time", "still open at the end", "not what the contract says",
        "could not be sent whole"]


@dataclass(slots=True)
class Entry:
    reference: str
    number: int
    sequence: int
    topic: str
    retry_after: bool
    status: int  # 0 when there is none
    end: int  # index into ENDS
    due: int  # ns of CLOCK_MONOTONIC, as all three
    sent: int
    answered: int  # 0: never

    @property
    def acknowledged(self):
        return self.end == 0 and 200 <= self.status < 300

    @property
    def seconds(self):
        return (self.answered - self.sent) / 1e9


class Load:
    """One run of the generator. Numbers of two runs are the same, references never are."""

    def __init__(self, tools, folder, port, rate, seconds, header, connections=64, numbers=10, topics=None, pad=0,
                 timeout=12, keyless=False, count=None):
        self.run = secrets.token_hex(4)
        self.rate, self.timeout, self.keyless = rate, timeout, keyless
        self.path = os.path.join(folder, f"ledger-{self.run}")
        self.progress_path = self.path + ".progress"
        command = [os.path.join(tools, "load"), str(port), "--ledger", self.path, "--progress", self.progress_path, "--run",
                   self.run, "--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections), "--numbers",
                   str(numbers), "--pad", str(pad), "--timeout", str(timeout), "--seed", str(secrets.randbits(32)), "--header",
                   header]
        if count:
            command += ["--count", str(count)]
        if keyless:
            command += ["--keyless", "1"]
        if topics:
            command += ["--topics", ",".join(topics)]
        self.ends_by = time.monotonic() + seconds + timeout + 30
        self.began = time.monotonic_ns()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._entries = self._map = self.summary = None

    def progress(self):
        """sent, ok, unavailable, other, broken, waiting, connected: so far."""
        if self._map is None:
            deadline = time.monotonic() + 5
            while not os.path.exists(self.progress_path) or os.path.getsize(self.progress_path) < 56:
                check(time.monotonic() < deadline and self.process.poll() is None, "the load generator does not start")
                time.sleep(0.01)
            with open(self.progress_path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 56, prot=mmap.PROT_READ)
        return dict(zip(("sent", "ok", "unavailable", "other", "broken", "waiting", "connected"),
                        struct.unpack("<7Q", self._map[:56])))

    def until(self, holds, within, what):
        """Waits until `holds(progress)`."""
        deadline = time.monotonic() + within
        while not holds(self.progress()):
            check(self.process.poll() is None, f"the load ended before {what}")
            check(time.monotonic() < deadline, f"not within {within} s: {what}; so far {self.progress()}")
            time.sleep(0.02)

    def answered_more(self, count, within=10):
        """Waits for so many further 200s."""
        goal = self.progress()["ok"] + count
        self.until(lambda p: p["ok"] >= goal, within, f"{count} more answers with 200")

    def finish(self):
        """Lets it run to its end."""
        output, _ = self.process.communicate(timeout=max(1, self.ends_by - time.monotonic()))
        check(self.process.returncode == 0, f"the load generator ended with {self.process.returncode}")
        self.summary = json.loads(output)
        return self.summary

    def stop(self):
        """No more events; what is on its way is waited for."""
        if self.summary is None:
            if self.process.poll() is None:
                self.process.terminate()
            self.finish()
        return self.summary

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self._map is not None:
            self._map.close()
            self._map = None

    @property
    def entries(self):
        if self._entries is None:
            self.stop()
            with open(self.path, "rb") as file:
                data = file.read()
            check(len(data) % ROW.size == 0, f"the ledger has {len(data)} bytes")
            self._entries = [
                Entry(f"c{self.run}-{number}-{sequence}", number, sequence, TOPICS[topic], bool(flags & 1), status, end, due,
                      sent, answered)
                for number, sequence, topic, flags, status, end, due, sent, answered in ROW.iter_unpack(data)]
        return self._entries


def percentile(values, p):
    if not values:
        return float("nan")
    values = sorted(values)
    return values[min(len(values) - 1, int(p / 100 * len(values)))]
