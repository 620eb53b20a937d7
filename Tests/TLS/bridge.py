"""A bridge that speaks TLS as a process, and certificates for it."""

import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

SECRET = "a-secret-of-the-tests"
SETTINGS = {"X-Webhook-Secret": SECRET, "Content-Type": "application/json"}


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Authority:
    """Signs certificates with openssl's own programs."""

    def __init__(self, folder, name="authority"):
        self.folder, self.name = pathlib.Path(folder), name
        self.key, self.certificate = self.folder / f"{name}-ca.key", self.folder / f"{name}-ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10",
                "-subj", f"/CN={name}", "-keyout", str(self.key), "-out", str(self.certificate))

    def issue(self, name, kind="ec", days=5):
        """(certificate, key), paths; names and addresses of this machine are in it."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["-newkey", f"rsa:{kind}"]
        openssl("req", *algorithm, "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
                "-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(certificate))
        return certificate, key


class Bridge:
    """`smsbridge serve` on free ports, ended by its process id."""

    def __init__(self, binary, folder, name, authority=None, files=None, bootstrap="127.0.0.1:1", **settings):
        """`files`: paths of certificate and key; None: plain TCP."""
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.spool = tempfile.TemporaryDirectory(
            prefix="smsbridge-tls-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None, ignore_cleanup_errors=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
        environment |= {
            "SMSBRIDGE_HTTP_HOST": "127.0.0.1", "SMSBRIDGE_HTTP_PORT": "0", "SMSBRIDGE_ADMIN_PORT": "0",
            "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": bootstrap, "SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET,
            "SMSBRIDGE_SPOOL_PATH": self.spool.name, "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true",
            "SMSBRIDGE_LOG_FORMAT": "json", "SMSBRIDGE_SHUTDOWN_DELAY": "0s",
            "SMSBRIDGE_TOPICS_PREFIX": f"tls-{os.getpid()}",
            # A slow disk or a busy machine is not what is looked at.
            "SMSBRIDGE_PUBLISH_DEADLINE": "9900ms",
        }
        if files:
            environment["SMSBRIDGE_HTTP_TLS_CERTIFICATE"], environment["SMSBRIDGE_HTTP_TLS_KEY"] = map(str, files)
        environment |= settings
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([binary, "serve"], env=environment, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log)
        self.port = self.admin = None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.port is None:
            time.sleep(0.05)
            if self.process.poll() is not None:
                raise OSError(f"the bridge has ended: {self.log_path.read_text()}")
            for line in self.lines():
                if line.get("address"):
                    self.port, self.admin = int(line["address"].rsplit(":", 1)[1]), line["admin"]
        if self.port is None:
            self.end()
            raise OSError(f"the bridge does not serve: {self.log_path.read_text()}")
        self.context = ssl.create_default_context(cafile=authority.certificate) if files else None

    def lines(self):
        lines = self.log_path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and line.startswith("{")]

    def connection(self, timeout=30):
        if self.context:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        """Values by name and labels, as Prometheus writes them."""
        rows = (line.rsplit(" ", 1) for line in self.ask("/metrics").splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in rows}

    def alerts(self):
        try:
            return json.loads(self.ask("/readyz"))["alerts"]
        except urllib.error.HTTPError as error:
            return json.loads(error.read())["alerts"]

    def memory(self):
        """Resident memory in KiB."""
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def seconds(self):
        """Processor time so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.spool.cleanup()
        return self.process.returncode


def wait(until, seconds=30):
    """Whether something becomes so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if until():
            return True
        time.sleep(0.1)
    return bool(until())
