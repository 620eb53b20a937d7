"""A Kafka of the suite's own, to be broken: started by KAFKA_START, its nodes' process ids known."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from bridge import free_port
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

HERE = os.path.dirname(os.path.abspath(__file__))
START_KAFKA = os.path.join(HERE, "..", "..", "scripts", "lib", "start-kafka")


def free_base(nodes, extra=500):
    """A port such that it and the next ones, and the same plus `extra`, are free."""
    while True:
        base = free_port()
        try:
            for port in [base + n for n in range(nodes)] + [base + extra + n for n in range(nodes + 1)]:
                if port >= 30000:
                    raise OSError
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue


class Proxy:
    """A proxy as a process: proxy.py, or another that prints its ports and obeys lines."""

    def __init__(self, *arguments, program="proxy.py"):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, program), *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.ports = [int(port) for port in self.process.stdout.readline().split(",")]
        self.port = self.ports[0]

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise OSError(f"the proxy said {answer!r} to {line!r}")

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


class Switch(Proxy):
    """switch.py: one address, behind it one of two clusters."""

    def __init__(self, first, second):
        super().__init__(*(",".join(str(cluster.port + n) for n in range(cluster.nodes)) for cluster in (first, second)),
                         program="switch.py")
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Cluster:
    """One or three nodes. `bootstrap` is the way in for everybody, `through` the way by the proxy (one node only)."""

    def __init__(self, starter, nodes=1, sasl=False, properties=()):
        self.starter, self.nodes = starter, nodes
        self.folder = tempfile.mkdtemp(prefix="smsbridge-chaos-kafka-")
        self.port = free_base(nodes)
        self.proxy = None
        self.stopped = set()
        self.environment = {**os.environ, "KAFKA_PORT": str(self.port), "KAFKA_DIR": self.folder, "KAFKA_NODES": str(nodes),
                            "KAFKA_WAIT": "90"}
        lines = ["log.retention.check.interval.ms=2000", "log.segment.bytes=67108864",
                 # A broker that comes back answers at once: nothing else is on this machine.
                 "controlled.shutdown.enable=false", *properties]
        if sasl:
            self.sasl_port = free_base(nodes)
            self.environment["KAFKA_SASL_PORT"] = str(self.sasl_port)
        elif nodes == 1:
            # A listener of its own that is advertised at the proxy: who comes through the proxy stays behind it.
            behind, front = free_port(), free_port()
            plain, controller = f"PLAINTEXT://127.0.0.1:{self.port}", f"CONTROLLER://127.0.0.1:{self.port + 501}"
            lines += [f"listeners={plain},{controller},SLOW://127.0.0.1:{behind}",
                      f"advertised.listeners={plain},SLOW://127.0.0.1:{front}",
                      "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SLOW:PLAINTEXT"]
            self.proxy_ports = (front, behind)
        lines += self.more_properties()
        extra = os.path.join(self.folder, "extra.properties")
        with open(extra, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.environment["KAFKA_CONFIG"] = extra
        try:
            self.start()
            if nodes == 1 and not sasl:
                self.proxy = Proxy(*self.proxy_ports)
                self.through = f"127.0.0.1:{self.proxy.port}"
        except BaseException:
            self.end()
            raise
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "broker.address.family": "v4",
                                  "reconnect.backoff.max.ms": 500, "log_level": 0})

    def more_properties(self):
        """Lines for the brokers' configuration; a later line of one name counts."""
        return []

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{self.port + n}" for n in range(self.nodes))

    def _run(self, program, *arguments):
        done = subprocess.run([program, *arguments], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=300)
        if done.returncode != 0:
            raise OSError(f"{os.path.basename(program)} ended with {done.returncode}: {(done.stderr + done.stdout)[-400:]}")
        return done.stdout

    def start(self):
        """Starts what is not running, on its own data, and returns when it answers."""
        self._run(START_KAFKA, self.starter)

    def stop(self, kill=False, node=None):
        self._run(os.path.join(os.path.dirname(self.starter), "stop"), *(["--kill"] if kill else []),
                  *(["--node", str(node)] if node else []))

    def tool(self, *arguments):
        return self._run(os.path.join(os.path.dirname(self.starter), "tool"), *arguments)

    def pid(self, node=1):
        with open(os.path.join(self.folder, "kafka.pid" if node == 1 else f"kafka-{node}.pid"), encoding="ascii") as file:
            return int(file.read())

    def pause(self, node=1):
        os.kill(self.pid(node), signal.SIGSTOP)
        self.stopped.add(self.pid(node))

    def resume(self, node=1):
        os.kill(self.pid(node), signal.SIGCONT)
        self.stopped.discard(self.pid(node))

    def resume_all(self):
        for pid in list(self.stopped):
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
            self.stopped.discard(pid)

    def wipe(self, keeps_id):
        """Deletes the data of every node, which must be stopped, and with it the cluster's id unless it is kept."""
        for n in range(self.nodes):
            shutil.rmtree(os.path.join(self.folder, f"node-{n + 1}"))
        if not keeps_id:
            os.unlink(os.path.join(self.folder, "cluster.id"))

    def use_producer_id(self, bootstrap=None):
        """Takes a producer id as a producer does, and returns it: the next one of this broker follows it."""
        found = []
        producer = Producer({"bootstrap.servers": bootstrap or self.bootstrap, "broker.address.family": "v4", "enable.idempotence": True,
                             "statistics.interval.ms": 20, "log_level": 0,
                             "stats_cb": lambda text: found.append(json.loads(text)["eos"]["producer_id"])})
        deadline = time.monotonic() + 20
        while not found or found[-1] < 0:
            producer.poll(0.05)
            if time.monotonic() > deadline:
                raise OSError("the cluster gives no producer id")
        return found[-1]

    def id(self):
        return self.admin.describe_cluster().result(15).cluster_id

    def topics(self, prefix, timeout=15):
        """Name → partition ids."""
        found = self.admin.list_topics(timeout=timeout).topics
        return {name: sorted(topic.partitions) for name, topic in found.items() if name.startswith(prefix + ".")}

    def count(self, prefix):
        """How many records there are, by the end offsets: one question, no reader."""
        wanted = {TopicPartition(name, p): OffsetSpec.latest() for name, ps in self.topics(prefix).items() for p in ps}
        return sum(f.result().offset for f in self.admin.list_offsets(wanted, request_timeout=10).values())

    def first_offsets(self, prefix):
        """Partition → the offset at which it begins: above 0, the broker has deleted records."""
        wanted = {TopicPartition(name, p): OffsetSpec.earliest() for name, ps in self.topics(prefix).items() for p in ps}
        found = self.admin.list_offsets(wanted, request_timeout=10)
        return {f"{tp.topic}[{tp.partition}]": f.result().offset for tp, f in found.items()}

    def end(self):
        self.resume_all()
        try:
            self.stop(kill=True)
        finally:
            if self.proxy:
                self.proxy.end()
            shutil.rmtree(self.folder, ignore_errors=True)
