"""Certificates that are renewed while the bridge runs, on its side and on the brokers'."""

import os
import subprocess
import time
from datetime import datetime, timedelta, timezone

from bridge import free_port
from cluster import Cluster
from report import check
from stand import Stand


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"openssl {arguments[0]}: {done.stderr[-400:]}")


class Authority:
    """Signs certificates that end at a chosen moment, which `openssl x509` cannot."""

    def __init__(self, folder, name):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.key, self.certificate = self.path("ca.key"), self.path("ca.pem")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", self.key,
                "-out", self.certificate)
        for file, content in (("index", ""), ("serial", "1000\n")):
            with open(self.path(file), "w", encoding="ascii") as out:
                out.write(content)
        with open(self.path("conf"), "w", encoding="ascii") as out:
            out.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.path('index')}\nserial={self.path('serial')}\n"
                      f"new_certs_dir={self.folder}\nunique_subject=no\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n"
                      "[p]\ncommonName=supplied\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, certificate, key, seconds=30 * 86_400):
        """Writes a certificate of that name, valid for so long, and its key, each in one step."""
        ends = datetime.now(timezone.utc) + timedelta(seconds=seconds)
        request, fresh, fresh_key = self.path("new.csr"), f"{certificate}.new", f"{key}.new"
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", fresh_key, "-out", request)
        openssl("ca", "-batch", "-config", self.path("conf"), "-cert", self.certificate, "-keyfile", self.key, "-in", request,
                "-out", fresh, "-notext", "-startdate", "20200101000000Z", "-enddate", ends.strftime("%Y%m%d%H%M%SZ"))
        os.replace(fresh_key, key)
        os.replace(fresh, certificate)
        return ends


class TLSCluster(Cluster):
    """One broker with a listener that asks for client certificates. Its own certificate can be replaced while it is down."""

    def more_properties(self):
        self.tls_port = free_port()
        self.brokers = Authority(self.folder, "brokers-1")
        self.clients = Authority(self.folder, "clients-1")
        self.truststore, self.keystore = (os.path.join(self.folder, name) for name in ("clients.pem", "server.pem"))
        self.trust(self.clients)
        self.serve(self.brokers)
        front, behind = self.proxy_ports
        plain, controller = f"PLAINTEXT://127.0.0.1:{self.port}", f"CONTROLLER://127.0.0.1:{self.port + 501}"
        return [f"listeners={plain},{controller},SLOW://127.0.0.1:{behind},MUTUAL://127.0.0.1:{self.tls_port}",
                f"advertised.listeners={plain},SLOW://127.0.0.1:{front},MUTUAL://localhost:{self.tls_port}",
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SLOW:PLAINTEXT,MUTUAL:SSL",
                "listener.name.mutual.ssl.client.auth=required",
                "listener.name.mutual.ssl.truststore.type=PEM", f"listener.name.mutual.ssl.truststore.location={self.truststore}",
                "listener.name.mutual.ssl.keystore.type=PEM", f"listener.name.mutual.ssl.keystore.location={self.keystore}"]

    def trust(self, *authorities):
        bundle(self.truststore, *authorities)

    def serve(self, authority):
        certificate, key = (os.path.join(self.folder, name) for name in ("server.crt", "server.key"))
        authority.issue("localhost", certificate, key)
        with open(self.keystore, "w", encoding="ascii") as out:
            for part in (key, certificate):
                with open(part, encoding="ascii") as file:
                    out.write(file.read())


def bundle(path, *authorities):
    """Replaces a file of authorities in one step."""
    with open(f"{path}.new", "w", encoding="ascii") as out:
        for authority in authorities:
            with open(authority.certificate, encoding="ascii") as file:
                out.write(file.read())
    os.replace(f"{path}.new", path)


#: Seconds from the broker's return until nothing waits in the spool.
LIMIT = 30


def kafka_tls_rotated(suite):
    """the brokers' authority, the client's certificate, and both are renewed, with a restart of the broker each time"""
    cluster = TLSCluster(suite.starter)
    suite.extra.append(cluster)
    ca, certificate, key = (os.path.join(cluster.folder, f"bridge-{name}.pem") for name in ("ca", "certificate", "key"))
    bundle(ca, cluster.brokers)
    cluster.clients.issue("smsbridge", certificate, key)
    properties = {"SECURITY_PROTOCOL": "ssl", "SSL_CA_LOCATION": ca, "SSL_CERTIFICATE_LOCATION": certificate, "SSL_KEY_LOCATION": key}
    environment = {f"SMSBRIDGE_KAFKA_PROPERTIES_{name}": value for name, value in properties.items()}
    with Stand(suite, "kafka-tls-rotated", cluster=cluster, bootstrap=f"localhost:{cluster.tls_port}", environment=environment) as stand:
        stand.start()
        pid = stand.bridge.process.pid
        load = stand.load(200, connections=64 if suite.spool != "none" else 256)
        load.answered_more(400, 30)
        reloads = lambda result: stand.metric("smsbridge_certificate_reloads_total", use="kafka", result=result)
        expiry = lambda setting: stand.metric("smsbridge_certificate_expiry_seconds", setting=setting)
        waiting = lambda: stand.metric("smsbridge_spool_events")

        def until(holds, within, what):
            deadline = time.monotonic() + within
            while not holds():
                check(time.monotonic() < deadline, f"not within {within} s: {what}: {stand.bridge.log()[-900:]}")
                time.sleep(0.1)

        def restart(what, while_down=lambda: None):
            """Restarts the broker, and measures until nothing waits and events go to Kafka directly."""
            cluster.stop()
            while_down()
            time.sleep(3)
            cluster.start()
            began = time.monotonic()
            before = stand.metric("smsbridge_events_acknowledged_total")
            with stand.case(f"{what}: drained within {LIMIT} s of the broker's return, and events go to Kafka"):
                until(lambda: waiting() == 0 and stand.metric("smsbridge_events_acknowledged_total") > before + 200, LIMIT,
                      f"{what}: {waiting()} events wait")
                stand.tell(f"{what}: drained after {time.monotonic() - began:.1f} s")
                check(stand.bridge.process.pid == pid, "another process")
                stand.alive()

        def reload(what, change):
            """Changes files while the broker answers."""
            loaded = reloads("loaded")
            change()
            with stand.case(f"{what}: the changed files are used, without an outage"):
                until(lambda: reloads("loaded") > loaded, 15, f"{what}: not reloaded")
            load.answered_more(200, 15)

        with stand.case("the expiry of each certificate is a metric"):
            for setting in ("ssl.ca.location", "ssl.certificate.location"):
                until(lambda: expiry(setting), 10, setting)
                check(29 * 86_400 < expiry(setting) - time.time() < 31 * 86_400, f"{setting}: {expiry(setting)}")

        if suite.long or "kafka-tls-rotated" in suite.only:
            # The brokers' authority, as it is done in order: both in the file, the brokers move, the old one goes.
            second = Authority(cluster.folder, "brokers-2")
            reload("both authorities", lambda: bundle(ca, cluster.brokers, second))
            cluster.serve(second)
            restart("the brokers move to the second authority")
            reload("the second authority alone", lambda: bundle(ca, second))

            # In the other order, while they are down.
            third = Authority(cluster.folder, "brokers-3")
            restart("the file is replaced while the broker is down", lambda: (cluster.serve(third), bundle(ca, third)))
            # The client's certificate: renewed, and the broker restarted after the old one has expired.
            ends = cluster.clients.issue("smsbridge", certificate, key, seconds=20)
            with stand.case("a certificate that expires soon is reported"):
                until(lambda: abs(expiry("ssl.certificate.location") - ends.timestamp()) < 2, 15, "the expiry is not the new one's")
                check("certificate expires soon" in stand.bridge.log(), "no line in the log")
            cluster.clients.issue("smsbridge", certificate, key)
            with stand.case("the renewed certificate is used"):
                until(lambda: expiry("ssl.certificate.location") - time.time() > 86_400, 15, "it is not used")
            time.sleep(max(0.0, ends.timestamp() + 2 - time.time()))
            restart("the old client certificate has expired")

        # The brokers have moved, and the file follows.
        fourth = Authority(cluster.folder, "brokers-4")
        cluster.serve(fourth)
        cluster.stop()
        cluster.start()
        time.sleep(4)
        with stand.case("an authority that is not known: events go to the spool"):
            until(lambda: (waiting() or 0) > 200, 15, "nothing waits in the spool")
        began = time.monotonic()
        bundle(ca, fourth)
        with stand.case("the file is replaced after the broker: drained"):
            until(lambda: waiting() == 0, LIMIT, f"{waiting()} events wait")
            stand.tell(f"the file is replaced after the broker: drained after {time.monotonic() - began:.1f} s")

        # Both at once, and another authority of clients.
        fifth, others = Authority(cluster.folder, "brokers-5"), Authority(cluster.folder, "clients-2")

        def both():
            cluster.serve(fifth)
            cluster.trust(others)
            others.issue("smsbridge", certificate, key)
            bundle(ca, fifth)

        restart("both are replaced while the broker is down", both)

        # Files that are wrong change nothing but the alert, and their correction ends it.
        failed = reloads("failed")
        with open(key, encoding="ascii") as file:
            right = file.read()
        with open(key, "w", encoding="ascii") as file:
            file.write("no key\n")
        with stand.case("a wrong file: the clients stay as they are, with an alert"):
            until(lambda: reloads("failed") > failed, 15, "the wrong key is not reported")
            check(stand.metric("smsbridge_certificate_reload_failed", use="kafka") == 1, "smsbridge_certificate_reload_failed")
            load.answered_more(400, 15)
            check(waiting() == 0, f"{waiting()} events wait")
            check(reloads("failed") == failed + 1, "it is reported again and again")
        with open(key, "w", encoding="ascii") as file:
            file.write(right)
        with stand.case("the right file again: the alert ends"):
            until(lambda: stand.metric("smsbridge_certificate_reload_failed", use="kafka") == 0, 15, "the alert stays")
        load.answered_more(200, 15)
        load.stop()
        stand.judge(within=60, order=suite.spool != "none")
        with stand.case("it was never restarted"):
            check(stand.bridge.process.pid == pid and stand.bridge.process.poll() is None, "it was")
