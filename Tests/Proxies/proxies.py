"""The proxies as processes, each with the block of docs/connect.md that is its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

from bridge import free_port
from report import check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "connect.md")
APACHE_MODULES = "/usr/lib/apache2/modules"


def block(language):
    """The one fenced block of that language on the page."""
    with open(PAGE, encoding="utf-8") as file:
        found = re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.M | re.S)
    check(len(found) == 1, f"{len(found)} blocks of {language} on the page")
    return found[0]


def replaced(text, pairs):
    """The block with test's own addresses in it; each text to be replaced must be there, so that nothing is missed."""
    for old, new in pairs:
        check(old in text, f"{old!r} is not in the block")
        text = text.replace(old, new)
    return text


class Proxy:
    """One proxy. Subclasses say what its program is and how the block becomes a configuration."""

    name = program = language = ""
    tls = True
    # What the page says of the proxy's pool: (text of the block, the same with two seconds), where the block has one.
    pool = None
    version_option = "-v"

    def __init__(self, folder, certificate):
        self.folder = os.path.join(folder, f"proxy-{self.name}")
        self.certificate = certificate  # path without .pem, .key, .both.pem
        self.port, self.process = None, None

    @classmethod
    def is_there(cls):
        return bool(shutil.which(cls.program))

    def version(self):
        done = subprocess.run([self.program, self.version_option], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]

    def start(self, backends, change=None):
        """backends: two (host, port). change: a function on the block's text."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        text = block(self.language)
        if change:
            text = change(text)
        path = os.path.join(self.folder, "configuration")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.configuration(text, backends))
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                self.command(path), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "HOME": self.folder, "XDG_DATA_HOME": self.folder, "XDG_CONFIG_HOME": self.folder})
        deadline = time.monotonic() + 20
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = self.log()[-1500:]
                self.end()
                raise OSError(f"{self.name} does not start: {text}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)

    def log(self):
        with open(os.path.join(self.folder, "log"), "rb") as file:
            return file.read().decode("utf-8", "replace")

    def end(self):
        if self.process is None:
            return
        # The process group, which it was started as the first of.
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def addresses(self, backends):
        return [(f"10.0.0.{11 + index}:8080", f"{host}:{port}") for index, (host, port) in enumerate(backends)]

    def files(self):
        return [("/etc/ssl/sms.example.com.pem", self.certificate + ".pem"), ("/etc/ssl/sms.example.com.key", self.certificate + ".key")]


class Nginx(Proxy):
    name, program, language = "nginx", "nginx", "nginx"
    pool = ("keepalive_timeout 60s;", "keepalive_timeout 2s;")

    def configuration(self, text, backends):
        text = replaced(text, [*self.addresses(backends), *self.files(), ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")])
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return (f"daemon off; user root; pid {self.folder}/pid; error_log stderr; worker_processes 2; events {{}}\n"
                f"http {{ access_log off; {temporary}\n{text}\n}}\n")

    def command(self, path):
        return ["nginx", "-p", self.folder, "-e", "stderr", "-c", path]


class Apache(Proxy):
    name, program, language = "Apache", "apache2", "apache"
    pool = ("ttl=60", "ttl=2")

    def configuration(self, text, backends):
        text = replaced(text, [*self.addresses(backends), *self.files(), ("*:443", f"127.0.0.1:{self.port}")])
        modules = ["mpm_event", "authz_core", "ssl", "socache_shmcb", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests",
                   "slotmem_shm"]
        loads = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules)
        return (f"ServerRoot {self.folder}\nDefaultRuntimeDir {self.folder}\nPidFile {self.folder}/pid\nMutex file:{self.folder}\n"
                f"ErrorLog /dev/stderr\nServerName localhost\nUser www-data\nGroup www-data\nListen 127.0.0.1:{self.port}\n{loads}\n{text}\n")

    def command(self, path):
        return ["apache2", "-d", self.folder, "-f", path, "-DFOREGROUND"]


class HAProxy(Proxy):
    name, program, language = "HAProxy", "haproxy", "haproxy"
    pool = ("    default-server check", "    default-server pool-purge-delay 2s check")

    def configuration(self, text, backends):
        return replaced(text, [*self.addresses(backends), ("/etc/ssl/sms.example.com.both.pem", self.certificate + ".both.pem"),
                               ("bind :443", f"bind 127.0.0.1:{self.port}")])

    def command(self, path):
        return ["haproxy", "-db", "-f", path]


class Varnish(Proxy):
    name, program, language = "Varnish", "varnishd", "vcl"
    tls, version_option = False, "-V"

    def configuration(self, text, backends):
        pairs = []
        for index, (host, port) in enumerate(backends):
            pairs.append((f'.host = "10.0.0.{11 + index}";\n    .port = "8080";', f'.host = "{host}";\n    .port = "{port}";'))
        return replaced(text, pairs)

    def command(self, path):
        with open(PAGE, encoding="utf-8") as file:
            options = re.search(r"`varnishd ((?:-p \S+ ?)+)`", file.read())
        check(options, "the page names no options of varnishd")
        return ["varnishd", "-F", "-j", "none", "-n", os.path.join(self.folder, "work"), "-a", f"127.0.0.1:{self.port}", "-f", path, "-s",
                "malloc,32m", *options[1].split()]


class Caddy(Proxy):
    name, program, language, version_option = "Caddy", "caddy", "caddyfile", "version"
    pool = ("        transport http {", "        transport http {\n            keepalive 2s")

    def configuration(self, text, backends):
        text = replaced(text, [*self.addresses(backends), (
            "sms.example.com {", f"https://127.0.0.1:{self.port} {{\n    bind 127.0.0.1\n    tls {self.certificate}.pem {self.certificate}.key")])
        return f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{text}"

    def command(self, path):
        return ["caddy", "run", "--config", path, "--adapter", "caddyfile"]


ALL = [Nginx, Apache, HAProxy, Varnish, Caddy]


def certificate(folder):
    """A self-signed one, in the three forms that the blocks name; its path without the ending."""
    path = os.path.join(folder, "certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sms.example.com", "-addext",
         "subjectAltName=DNS:sms.example.com,IP:127.0.0.1", "-keyout", path + ".key", "-out", path + ".pem"],
        check=True, capture_output=True)
    with open(path + ".both.pem", "wb") as both:
        for name in (".pem", ".key"):
            with open(path + name, "rb") as file:
                both.write(file.read())
    return path
