"""The bridge as a process: started on free loopback ports, its log captured, ended by its process id."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request


def free_port():
    """A free loopback port below 30000: above, the system gives them to outgoing connections."""
    while True:
        port = 10240 + secrets.randbelow(19000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Bridge:
    """A running bridge, ours or somebody else's."""

    def __init__(self, url, admin, process=None, log_path=None):
        self.url, self.admin, self.process, self.log_path = url.rstrip("/"), admin and admin.rstrip("/"), process, log_path

    @staticmethod
    def start(binary, bootstrap, prefix, folder, name, environment=None, within=30, ports=None, spool=None, ready=True):
        """Starts `binary serve` and waits until it is ready, or with `ready` False until it answers at all.

        `ports` (public, private) and `spool` are those of an earlier bridge that this one takes the place of."""
        port, admin = ports or (free_port(), free_port())
        spool = spool or tempfile.mkdtemp(prefix=f"spool-{name}-", dir=folder)
        # Nothing of the caller's own settings counts.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
        variables = {
            **clean,
            "SMSBRIDGE_HTTP_HOST": "127.0.0.1",
            "SMSBRIDGE_HTTP_PORT": str(port),
            "SMSBRIDGE_ADMIN_HOST": "127.0.0.1",
            "SMSBRIDGE_ADMIN_PORT": str(admin),
            "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SMSBRIDGE_TOPICS_PREFIX": prefix,
            "SMSBRIDGE_SPOOL_PATH": spool,
            **(environment or {}),
        }
        log_path = os.path.join(folder, f"{name}.log")
        with open(log_path, "ab") as log:
            process = subprocess.Popen(
                [*binary, "serve"], env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        bridge = Bridge(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", process, log_path)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise OSError(f"the bridge ended with {process.returncode}: {bridge.log()[-1500:]}")
            try:
                with urllib.request.urlopen(f"{bridge.url}/healthz", timeout=2) as answer:
                    if answer.status == 200:
                        return bridge
            except urllib.error.HTTPError:
                if not ready:
                    return bridge
            except OSError:
                pass
            time.sleep(0.02)
        bridge.end()
        raise OSError(f"the bridge is not ready within {within} s: {bridge.log()[-1500:]}")

    def log(self):
        if not self.log_path:
            return ""
        with open(self.log_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def admin_page(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.admin + path, timeout=10) as answer:
            return answer.read().decode("utf-8")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        """Ends the process that this object started; its exit status, None when there is none of ours."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                print(f"bridge {self.process.pid} did not end on SIGTERM", file=sys.stderr)
                self.process.kill()
                self.process.wait(10)
        return self.process.returncode


def in_background(job):
    thread = threading.Thread(target=job, daemon=True)
    thread.start()
    return thread
