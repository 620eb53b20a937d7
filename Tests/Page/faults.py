"""The faults: each is broken, told by page, /readyz and rules, mended, and told no more.

Three bridges on one Kafka of three nodes, and a real Prometheus that scrapes them and evaluates deploy/prometheus/alerts.yml
with its times shortened: `calm` has traffic and a spool on a disk of its own, `bare` has no spool, `quiet` has no traffic."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import browser as browsers
import loglines
from bridge import Bridge, free_port
from cluster import Cluster
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from report import check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECRET = "page-of-the-operator"
BODY = (b'{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"27123456789","Received":1530013907,'
        b'"UserReference":"%d"}')
PREFIX = "page"
# What follows from a fault for a minute, or from the machine's own slowness, on any of them.
AFTERMATH = {"SmsbridgeKafkaSlow", "SmsbridgeKafkaErrors", "SmsbridgeDurableLatencyHigh", "SmsbridgeTopicDurabilityUnknown",
             "SmsbridgeEventsUnavailable", "SmsbridgeLogDropped"}


class Traffic:
    """A caller that goes on at a rate, one connection, whatever the answers are."""

    def __init__(self, bridge, rate, secret=SECRET, paths=("/webhooks/delivery-status", "/webhooks/reply"), headers=None):
        self.port, self.rate = int(bridge.url.rpartition(":")[2]), rate
        self.paths, self.headers = paths, {"X-Webhook-Secret": secret, "Content-Type": "application/json", **(headers or {})}
        self.ending, self.statuses = threading.Event(), {}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        connection, count = None, 0
        while not self.ending.wait(1 / self.rate):
            count += 1
            path = self.paths[count % len(self.paths)]
            body = BODY % count if count % 2 == 0 else b'{"Id":%d,"To":"1","Message":"x","Msisdn":"27123456789"}' % count
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=12)
                connection.request("POST", path, body, self.headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection, status = None, 0
            self.statuses[status] = self.statuses.get(status, 0) + 1

    def stop(self):
        self.ending.set()
        self.thread.join(15)


class Prometheus:
    """A real one, with the rules of the repository; what lasts minutes there lasts seconds here."""

    def __init__(self, folder, bridges):
        self.folder, self.port = os.path.join(folder, "prometheus"), free_port()
        os.makedirs(self.folder)
        with open(os.path.join(ROOT, "deploy/prometheus/alerts.yml"), encoding="utf-8") as file:
            rules = file.read()
        rules = re.sub(r"^( +for: )[1-9]\d*m$", r"\g<1>2s", rules, flags=re.M)
        # Not the two days in which SmsbridgeNoEvents looks for a type's last event.
        rules = re.sub(r"\[\d+[mh]\]", "[15s]", rules)
        with open(os.path.join(self.folder, "rules.yml"), "w", encoding="utf-8") as file:
            file.write(rules)
        targets = [{"targets": [bridge.admin.removeprefix("http://")], "labels": {"bridge": name}}
                   for name, bridge in bridges.items()]
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "smsbridge", "static_configs": targets}]}
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(configuration, file)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.names = {bridge.admin.removeprefix("http://"): name for name, bridge in bridges.items()}
        deadline = time.monotonic() + 30
        while True:
            try:
                self.firing()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.end()
                    raise
                time.sleep(0.1)

    def firing(self):
        """Name of the bridge → names of its alerts; those of no instance are everybody's."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/alerts", timeout=5) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        found = {name: set() for name in self.names.values()}
        for alert in alerts:
            if alert["state"] != "firing":
                continue
            instance = alert["labels"].get("instance")
            for name in [self.names[instance]] if instance in self.names else found:
                found[name].add(alert["labels"]["alertname"])
        return found

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.log.close()


class Disk:
    """A file system of its own in a sparse file (root only), large enough not to be small."""

    def __init__(self, folder):
        self.image, self.mount = os.path.join(folder, "disk.img"), os.path.join(folder, "disk")
        os.mkdir(self.mount)
        with open(self.image, "wb") as file:
            file.truncate(4 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image], check=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.mount], check=True)

    def fill(self):
        """Takes what is left, without writing it."""
        with open(os.path.join(self.mount, "filler"), "wb") as file:
            size, end = 1 << 30, 0
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size
                except OSError:
                    size //= 2

    def free(self):
        os.unlink(os.path.join(self.mount, "filler"))

    def read_only(self, yes):
        subprocess.run(["mount", "-o", "remount,ro" if yes else "remount,rw", self.mount], check=True)

    def end(self):
        if subprocess.run(["umount", self.mount], capture_output=True, check=False).returncode != 0:
            subprocess.run(["umount", "-l", self.mount], check=False)


class Stand:
    def __init__(self, report, binary, folder, long, only):
        self.report, self.binary, self.folder, self.long, self.only = report, binary, folder, long, only
        self.bridges, self.traffic, self.prometheus, self.disk = {}, {}, None, None
        self.cluster = Cluster(os.environ["KAFKA_START"], nodes=3)

    def start(self, name, environment=None, spool=None, ports=None):
        settings = {"SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET, "SMSBRIDGE_TOPICS_PARTITIONS": "1",
                    "SMSBRIDGE_DURABILITY_INTERVAL": "1s", "SMSBRIDGE_SHUTDOWN_DELAY": "0s",
                    "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true",
                    # A machine with much else to do is late by itself.
                    "SMSBRIDGE_PUBLISH_HEDGE": "400ms",
                    "SMSBRIDGE_LOG_FORMAT": "json" if name == "quiet" else "text", **(environment or {})}
        self.bridges[name] = Bridge.start(self.binary, self.cluster.bootstrap, PREFIX, self.folder, name, settings, spool=spool,
                                          ports=ports)
        return self.bridges[name]

    # ---- what an operator reads

    def page(self, name):
        """The alerts that the page names and its text; and that its machine form says the same."""
        page = self.bridges[name].admin_page("/")
        text = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.S)
        return set(re.findall(r"<code>(Smsbridge\w+)</code>", page)), text

    def status(self, name):
        return json.loads(self.bridges[name].admin_page("/status"))

    def readyz(self, name):
        try:
            with urllib.request.urlopen(self.bridges[name].admin + "/readyz", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def alerts(self, name):
        """What page, machine form and rules say, each a set; None for the first two where nobody answers."""
        try:
            shown = self.page(name)[0]
            told = {finding["alert"] for finding in self.status(name)["findings"]} - {None}
        except OSError:
            shown = told = None
        return shown, told, self.prometheus.firing()[name]

    def wait(self, what, within, holds):
        """Until `holds` returns nothing to complain of; its last complaint when it never does."""
        began, last = time.monotonic(), ""
        deadline = began + within
        while True:
            complaint = holds()
            if not complaint:
                if time.monotonic() - began > 15:
                    print(f"      {what} after {time.monotonic() - began:.1f} s; until then, {last}", flush=True)
                return
            last = complaint
            check(time.monotonic() < deadline, f"{what}: after {within} s, {complaint}")
            time.sleep(0.3)

    # ---- a fault

    def fault(self, title, name, expected, break_it, mend_it, *, rules=None, ready=None, unmet=None, words="", lasting=(),
              within=60, mended_within=90, during=None):
        """Breaks, waits for everybody to say so, mends, waits for nobody to say so.

        - expected: the alerts that the page must show. rules: those that must fire, where they differ.
        - ready: whether /readyz must be 200 meanwhile. unmet: a name among what is unmet there.
        - words: what the page must say in its text.
        - during: what else is done while it lasts.
        - lasting: of the expected, what goes away only a minute later; the end of the run sees to it.
        """
        if self.only not in title:
            return
        rules = expected if rules is None else rules
        report, gone = self.report, expected | rules
        with report.case(f"{title}: nothing says so before"):
            def before():
                shown, _, firing = self.alerts(name)
                early = (shown | firing) & gone
                return early and f"{sorted(early)} are there already"
            self.wait("calm", 90, before)
        try:
            with report.case(f"{title}: page, /status, /readyz and rules say so"):
                break_it()
                began = time.monotonic()

                def told():
                    shown, machine, firing = self.alerts(name)
                    if expected and shown is None:
                        return "the page does not answer"
                    if expected - (shown or set()):
                        return f"the page lacks {sorted(expected - shown)} and shows {sorted(shown)}"
                    if expected - (machine or set()):
                        return f"/status lacks {sorted(expected - machine)}"
                    if rules - firing:
                        return f"the rules lack {sorted(rules - firing)} and fire {sorted(firing)}"
                    if shown is not None:
                        code, said = self.readyz(name)
                        if ready is not None and (code == 200) != ready:
                            return f"/readyz says {code}: {said}"
                        if unmet and unmet not in said["unmet"]:
                            return f"/readyz does not name {unmet}: {said}"
                        if set(said["alerts"]) != shown:
                            return f"/readyz names {sorted(said['alerts'])} and the page {sorted(shown)}"
                    if words and words not in self.page(name)[1]:
                        return f"the page does not say {words!r}"
                    return None
                self.wait("told", within, told)
                print(f"      told after {time.monotonic() - began:.1f} s", flush=True)
            if during:
                during()
        finally:
            with report.case(f"{title}: mended, nobody says so any more"):
                mend_it()
                mended = time.monotonic()

                def silent():
                    shown, _, firing = self.alerts(name)
                    if shown is None:
                        return "the page does not answer"
                    left = ((shown | firing) & gone) - AFTERMATH - set(lasting)
                    return left and f"{sorted(left)} are still there"
                self.wait("silent", mended_within, silent)
                print(f"      silent {time.monotonic() - mended:.1f} s after it was mended", flush=True)

    def calm(self, within):
        """Every page is green, every /readyz 200 without an alert, and no rule fires."""
        def complaint():
            for name in self.bridges:
                shown, told, firing = self.alerts(name)
                code, said = self.readyz(name)
                if shown or told or firing or shown is None:
                    return f"{name}: page {shown}, /status {told}, rules {firing}"
                if code != 200 or said["alerts"] or self.status(name)["state"] != "ok":
                    return f"{name}: /readyz {code} {said}"
                if "No problems" not in self.page(name)[1]:
                    return f"{name}: the page does not say that there is no problem"
            return None
        self.wait("calm", within, complaint)

    def end(self):
        for traffic in self.traffic.values():
            traffic.ending.set()
        if self.prometheus:
            self.prometheus.end()
        self.cluster.resume_all()
        for bridge in self.bridges.values():
            if bridge.process.poll() is None:
                bridge.process.kill()
                bridge.process.wait(10)
        if self.disk:
            self.disk.end()
        self.cluster.end()


def in_sync(stand, topic, replicas):
    """Sets how many replicas must have a record before it is acknowledged."""
    change = ConfigResource(ConfigResource.Type.TOPIC, f"{PREFIX}.{topic}", incremental_configs=[
        ConfigEntry("min.insync.replicas", str(replicas), incremental_operation=AlterConfigOpType.SET)])
    stand.cluster.admin.incremental_alter_configs([change])[change].result(30)


def quiet_faults(stand, rejected):
    """Faults of callers: on the bridge without other traffic, and on one with it."""
    lost = []
    stand.fault("a wrong path in the Control Panel", "calm", {"SmsbridgeCallbacksRejected"},
                lambda: lost.append(Traffic(stand.bridges["calm"], 1, paths=["/webhook/reply"])), lambda: lost[0].stop(),
                lasting={"SmsbridgeCallbacksRejected"}, ready=True, words="with a valid secret rejected", within=100)
    stand.fault("a proxy that sends what no HTTP is", "quiet", {"SmsbridgeCallbacksRejected", "SmsbridgeAllCallbacksRejected"},
                lambda: lost.append(Traffic(stand.bridges["quiet"], 1, headers={"Host ": "a"})), lambda: lost[1].stop(),
                lasting={"SmsbridgeCallbacksRejected", "SmsbridgeAllCallbacksRejected"}, ready=True, words="400", within=100,
                during=rejected)
    intruder = []
    stand.fault("a wrong secret on the caller's side", "quiet", {"SmsbridgeAllCallbacksRejected"},
                lambda: intruder.append(Traffic(stand.bridges["quiet"], 10, "another-secret")), lambda: intruder[0].stop(),
                lasting={"SmsbridgeAllCallbacksRejected"}, ready=True, words="none accepted in the last minute")
    crowd = contextlib.ExitStack()
    port = int(stand.bridges["quiet"].url.rpartition(":")[2])

    def come():
        for _ in range(40):
            crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))

    stand.fault("more connections than http.maxConnections", "quiet", {"SmsbridgeConnectionsRejected"}, come, crowd.close,
                lasting={"SmsbridgeConnectionsRejected"})


@contextlib.contextmanager
def stuttering(cluster):
    """The brokers answer, but late: they stand still most of the time."""
    ending = threading.Event()

    def run():
        while not ending.is_set():
            for node in (1, 2, 3):
                cluster.pause(node)
            ending.wait(0.7)
            for node in (1, 2, 3):
                cluster.resume(node)
            ending.wait(0.15)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(5)
        cluster.resume_all()


def kafka_faults(stand, during):
    cluster, slow = stand.cluster, contextlib.ExitStack()
    stand.fault("the brokers are slow", "calm", {"SmsbridgeKafkaSlow"}, lambda: slow.enter_context(stuttering(cluster)), slow.close,
                ready=True, lasting={"SmsbridgeKafkaSlow"})

    def all_nodes(action):
        return lambda: [action(node) for node in (1, 2, 3)]

    stand.fault("the brokers hang; a bridge without a spool", "bare", {"SmsbridgeNotReady", "SmsbridgeEventsUnavailable"},
                all_nodes(cluster.pause), all_nodes(cluster.resume), ready=False, unmet="kafka",
                words="Not ready", lasting={"SmsbridgeEventsUnavailable"})
    stand.fault("the brokers hang", "calm", {"SmsbridgeKafkaDown", "SmsbridgeTopicSpooling"}, all_nodes(cluster.pause),
                all_nodes(cluster.resume), ready=True, words="Kafka does not answer", during=during)
    if stand.long:
        kill = all_nodes(lambda node: cluster.stop(kill=True, node=node))
        stand.fault("the brokers are killed", "calm", {"SmsbridgeKafkaDown", "SmsbridgeTopicSpooling"}, kill, cluster.start,
                    ready=True)
        stand.fault("the brokers are stopped", "calm", {"SmsbridgeKafkaDown", "SmsbridgeTopicSpooling"}, cluster.stop, cluster.start,
                    ready=True)

        def too_few():
            in_sync(stand, "reply", 3)
            cluster.stop(kill=True, node=3)

        def enough():
            cluster.start()
            in_sync(stand, "reply", 2)

        stand.fault("too few replicas in sync", "calm", {"SmsbridgeTopicSpooling"}, too_few, enough, ready=True,
                    words="too few replicas in sync")

    # A topic that is deleted is made again before anybody could look: scripts/chaos has that (topics-vanish).
    stand.fault("a topic is made weak", "calm", {"SmsbridgeTopicNotDurable"},
                lambda: in_sync(stand, "delivery-status", 1),
                lambda: in_sync(stand, "delivery-status", 2), ready=True, words="min.insync 1")


def spool_faults(stand):
    if stand.disk:
        stand.fault("the spool's disk is full", "calm", {"SmsbridgeSpoolUnavailable", "SmsbridgeSpoolDiskLow"}, stand.disk.fill,
                    stand.disk.free, ready=True, words="The spool cannot store events")
    bridge = stand.bridges["calm"]
    spool, ports = stand.spool, tuple(int(url.rpartition(":")[2]) for url in (bridge.url, bridge.admin))

    def read_only():
        # As after a crash of the machine: nobody has a file open there that would keep it writable.
        stand.bridges["calm"].end()
        stand.disk.read_only(True)
        stand.start("calm", spool=spool, ports=ports)

    if stand.disk:
        stand.fault("the spool's disk is read-only", "calm", {"SmsbridgeSpoolUnavailable"}, read_only,
                    lambda: stand.disk.read_only(False), ready=True)

    def damage():
        stand.bridges["calm"].end()
        with open(os.path.join(spool, "spool.db"), "r+b") as file:
            file.write(b"no database" * 500)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(spool, "spool.db-wal"))
        stand.start("calm", spool=spool, ports=ports)

    def take_away():
        for name in os.listdir(spool):
            if name.startswith("spool-quarantined-"):
                os.unlink(os.path.join(spool, name))

    stand.fault("the spool's file is damaged", "calm", {"SmsbridgeSpoolCorrupt"}, damage, take_away, ready=True,
                words="file moved aside")
    if stand.long:
        def delete():
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(spool, "spool.db" + suffix))
            for node in (1, 2, 3):
                stand.cluster.pause(node)

        stand.fault("the spool's file is deleted while Kafka hangs: what comes is kept all the same", "calm",
                    {"SmsbridgeKafkaDown", "SmsbridgeTopicSpooling"}, delete, stand.cluster.resume_all, ready=True)
        with stand.report.case("a deleted file has a successor, and nobody is called for it"):
            check(os.path.exists(os.path.join(spool, "spool.db")), "there is none")
            check("SmsbridgeSpoolUnavailable" not in stand.alerts("calm")[0], "the spool takes nothing")

    def kill():
        stand.bridges["calm"].process.send_signal(signal.SIGKILL)
        stand.bridges["calm"].process.wait(10)

    stand.fault("the bridge is killed", "calm", set(), kill, lambda: stand.start("calm", spool=spool, ports=ports),
                rules={"SmsbridgeDown"})


def run(report, browser, binary, folder, long, only):
    stand = Stand(report, binary, folder, long, only)
    try:
        if os.geteuid() == 0:
            try:
                stand.disk = Disk(folder)
            except (OSError, subprocess.CalledProcessError) as error:
                report.skip("full and read-only disks", f"a disk of its own cannot be mounted here: {error}")
        else:
            report.skip("full and read-only disks", "only root may mount a disk of its own")
        stand.spool = os.path.join(stand.disk.mount if stand.disk else folder, "spool-calm")
        stand.start("calm", spool=stand.spool)
        stand.start("bare", {"SMSBRIDGE_SPOOL_NONE": "true"})
        stand.start("quiet", {"SMSBRIDGE_HTTP_MAX_CONNECTIONS": "8"})
        stand.prometheus = Prometheus(folder, stand.bridges)
        for name in ("calm", "bare"):
            stand.traffic[name] = Traffic(stand.bridges[name], 20)
        with report.case("at the start all is calm: pages, /readyz and rules"):
            stand.calm(180)
        def look(state, name="calm"):
            # Its pictures take their time: the short form has those of the calm page.
            pictures = long or state == "calm"
            return lambda: browser and browsers.look(report, browser, stand.bridges[name].admin, folder, state, pictures)

        look("calm")()
        quiet_faults(stand, rejected=look("rejected", "quiet"))
        kafka_faults(stand, during=look("broken"))
        spool_faults(stand)
        with report.case("at the end all is calm again, without anybody's help"):
            # A rejected request with a valid secret is shown for five minutes.
            stand.calm(360)
        with report.case("callers of a bridge with a spool got their 200 meanwhile"):
            # Not each: of a disk that stands still for a second scripts/chaos keeps account.
            statuses = stand.traffic["calm"].statuses
            check(set(statuses) <= {200, 503, 0}, f"answers by status: {statuses}")
            check(statuses.get(200, 0) > 30 and statuses.get(503, 0) < statuses[200] / 20, f"answers by status: {statuses}")
        for name, bridge in stand.bridges.items():
            with report.case(f"every line of the log of {name} is JSON or strict logfmt"):
                log = bridge.log()
                wrong = loglines.complaints(log)
                check(not wrong, f"{len(wrong)} lines: {wrong[:3]}")
                check("message" in log, "there is none")
        if not only:
            with report.case("the lines that a topic is direct again say how much was drained, and how long it took"):
                lines = [loglines.parse(line) for line in stand.bridges["calm"].log().splitlines() if "switched to direct" in line]
                check(any(int(line["drained"]) > 0 and float(line["durationSeconds"]) > 1 for line in lines), f"{lines[-3:]}")
    finally:
        stand.end()
