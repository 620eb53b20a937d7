"""Clients that post callbacks over TLS and miss nothing: every answer but a 200 counts as a failure."""

import hashlib
import json
import threading
import time

from bridge import SETTINGS


class Load:
    """Threads with a connection each; some keep it, the others make one for each request."""

    def __init__(self, bridge, keeping=4, fresh=4, pause=0.0):
        self.bridge, self.pause = bridge, pause
        self.lock = threading.Lock()
        self.answered, self.connections = {"keeping": 0, "fresh": 0}, {"keeping": 0, "fresh": 0}
        self.failures, self.latencies, self.certificates = [], [], {}
        self.stopped = threading.Event()
        kinds = ["keeping"] * keeping + ["fresh"] * fresh
        self.threads = [threading.Thread(target=self._run, args=(kind, number)) for number, kind in enumerate(kinds)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _run(self, kind, number):
        connection, count = None, 0
        while not self.stopped.is_set():
            count += 1
            began = time.monotonic()
            try:
                if connection is None:
                    connection = self.bridge.connection()
                    connection.connect()
                    with self.lock:
                        self.connections[kind] += 1
                        shown = hashlib.sha256(connection.sock.getpeercert(True)).hexdigest()
                        self.certificates[shown] = self.certificates.get(shown, 0) + 1
                body = json.dumps({"Status": "DELIVRD", "EventId": count, "Msisdn": "27000000001",
                                   "UserReference": f"{number}-{count}", "Received": 1735711200})
                connection.request("POST", "/webhooks/delivery-status", body, SETTINGS)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise OSError(f"answered {answer.status} {text!r}")
                with self.lock:
                    self.answered[kind] += 1
                    self.latencies.append(time.monotonic() - began)
            except OSError as error:
                with self.lock:
                    self.failures.append(f"{kind}: {type(error).__name__}: {error}")
                if connection:
                    connection.close()
                connection = None
            if kind == "fresh" and connection:
                connection.close()
                connection = None
            if self.pause:
                time.sleep(self.pause)

    def percentile(self, part):
        with self.lock:
            ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 if ordered else float("nan")
