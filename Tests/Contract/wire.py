"""Requests by curl and by raw sockets; answers parsed by h11, which is as strict as RFC 9112."""

import os
import socket
import subprocess
import tempfile
import time
from urllib.parse import urlsplit

import h11


class Answer:
    def __init__(self, status, headers, body, rest=b"", seconds=0.0):
        self.status = status
        self.headers = headers  # list of (lower-case name, value)
        self.body = body
        self.rest = rest  # what came on the connection behind the answer
        self.seconds = seconds

    def header(self, name):
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    def __repr__(self):
        return f"<{self.status} {self.body[:60]!r}>"


def curl(url, *arguments, data=None, headers=(), method=None, timeout=15):
    """One request by curl. `data` travels through a file, so that any bytes can be a body."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", str(timeout), "--path-as-is", "-g"]
        command += ["-D", f"{folder}/head", "-o", f"{folder}/body", "-w", "%{http_code}"]
        if data is not None:
            with open(f"{folder}/data", "wb") as file:
                file.write(data)
            command += ["--data-binary", f"@{folder}/data"]
            if not any(line.lower().startswith("content-type") for line in headers):
                headers = [*headers, "Content-Type:"]
        if method:
            command += ["-X", method] if method != "HEAD" else ["-I"]
        for line in headers:
            command += ["-H", line]
        started = time.monotonic()
        done = subprocess.run([*command, *arguments, url], capture_output=True, timeout=timeout + 5)
        seconds = time.monotonic() - started
        if done.returncode != 0:
            raise OSError(f"curl ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        with open(f"{folder}/head", "rb") as file:
            # The last block: a 100 comes before the answer.
            block = file.read().strip().split(b"\r\n\r\n")[-1].split(b"\r\n")
        lines = [line.decode("latin-1").split(":", 1) for line in block[1:]]
        body = b""
        if os.path.exists(f"{folder}/body"):
            with open(f"{folder}/body", "rb") as file:
                body = file.read()
        return Answer(int(done.stdout), [(name.lower(), value.strip()) for name, value in lines], body, seconds=seconds)


class Connection:
    """A raw connection. Nothing is sent or read but what is asked for."""

    def __init__(self, url, timeout=15.0):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = None  # None, "closed" or "reset"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False when the other side has closed already."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def finish(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _more(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return False
        except ConnectionResetError:
            self.ended = "reset"
            return False
        if not data:
            self.ended = "closed"
            return False
        self.buffer += data
        return True

    def answer(self, method="POST", within=12.0):
        """The next final answer, informational ones skipped; None when the connection ended without one."""
        started = time.monotonic()
        deadline = started + within
        parser = h11.Connection(h11.CLIENT)
        target = b"/"
        parser.send(h11.Request(method=method, target=target, headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        if self.buffer:
            parser.receive_data(self.buffer)
            self.buffer = b""
        head, body, informational = None, b"", []
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                if not self._more(deadline):
                    if self.ended == "closed" and head is not None:
                        parser.receive_data(b"")
                        if parser.next_event().__class__ is h11.EndOfMessage:
                            break
                    if self.ended:
                        return None
                    raise TimeoutError(f"no answer within {within} s")
                parser.receive_data(self.buffer)
                self.buffer = b""
            elif isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise OSError(f"unexpected {event!r}")
        self.buffer = bytes(parser.trailing_data[0])
        answer = Answer(
            head.status_code, [(name.decode().lower(), value.decode("latin-1")) for name, value in head.headers], body,
            self.buffer, time.monotonic() - started)
        answer.informational = informational
        answer.version = head.http_version.decode()
        return answer

    def interim(self, within=5.0):
        """Reads until an informational answer is complete; its bytes, taken from the buffer."""
        deadline = time.monotonic() + within
        while b"\r\n\r\n" not in self.buffer:
            if not self._more(deadline):
                return self.buffer
        block, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return block

    def is_closed(self, within=3.0):
        """Whether the other side ends the connection in time with nothing more said."""
        deadline = time.monotonic() + within
        while self.ended is None and time.monotonic() < deadline:
            self._more(deadline)
        return self.ended is not None and not self.buffer

    def says_nothing(self, seconds):
        self._more(time.monotonic() + seconds)
        return not self.buffer and self.ended is None


def request(method, target, headers=(), body=b"", version="1.1", host="bridge.test", length=True):
    """A well-formed request in bytes; headers as (name, value) pairs or raw lines."""
    lines = [f"{method} {target} HTTP/{version}".encode()]
    if host is not None:
        lines.append(f"Host: {host}".encode())
    for header in headers:
        if isinstance(header, bytes):
            lines.append(header)
        else:
            lines.append(f"{header[0]}: {header[1]}".encode())
    if length and (body or method == "POST"):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
