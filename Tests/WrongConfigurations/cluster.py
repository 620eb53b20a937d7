"""A Kafka with a listener for each kind of connection, started by a script and stopped by its counterpart beside it."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
START_KAFKA = os.path.join(HERE, "..", "..", "scripts", "lib", "start-kafka")
sys.path.insert(0, os.path.join(HERE, "..", "Contract"))
from bridge import free_port  # noqa: E402


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Certificates:
    """An authority, and certificates for clients: a good one, an expired one, one of another authority."""

    def __init__(self, folder):
        self.folder = folder
        self.authority("ca", "clients")
        self.authority("other", "somebody else")
        self.client("good", "ca", days="2")
        self.client("stranger", "other", days="2")
        self.client("expired", "ca", expired=True)
        openssl("rsa", "-aes256", "-passout", "pass:key-passphrase", "-in", self.path("good.key"),
                "-out", self.path("locked.key"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def authority(self, name, subject):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", f"/CN={subject}",
                "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"))

    def client(self, name, authority, days="1", expired=False):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", self.path(f"{name}.key"),
                "-out", self.path(f"{name}.csr"))
        if not expired:
            openssl("x509", "-req", "-days", days, "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{authority}.pem"),
                    "-CAkey", self.path(f"{authority}.key"), "-CAcreateserial", "-out", self.path(f"{name}.pem"))
            return
        # `openssl x509` cannot date back; `openssl ca` can.
        base = self.path(f"ca-of-{name}")
        os.makedirs(base, exist_ok=True)
        open(os.path.join(base, "index"), "w").close()
        with open(os.path.join(base, "serial"), "w") as file:
            file.write("1000\n")
        with open(os.path.join(base, "conf"), "w") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={base}/index\nserial={base}/serial\nnew_certs_dir={base}\n"
                       "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", os.path.join(base, "conf"), "-cert", self.path(f"{authority}.pem"), "-keyfile",
                self.path(f"{authority}.key"), "-in", self.path(f"{name}.csr"), "-out", self.path(f"{name}.pem"),
                "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext")


class Cluster:
    def __init__(self, start, folder):
        self.start_script, self.folder = start, folder
        self.scripts = os.path.dirname(os.path.abspath(start))
        self.certificates = Certificates(folder)
        self.plain, self.sasl, self.mutual, self.expired = (free_port() for _ in range(4))
        directory = os.path.join(folder, "kafka")
        os.makedirs(directory)
        config = os.path.join(folder, "extra.properties")
        path = self.certificates.path
        # A server's certificate that has expired, for a listener of its own.
        with open(path("expired-server.pem"), "w") as out:
            for part in ("expired.key", "expired.pem"):
                out.write(open(path(part)).read())
        with open(config, "w") as file:
            file.write(f"""
listeners=PLAINTEXT://127.0.0.1:{self.plain},CONTROLLER://127.0.0.1:{self.plain + 501},\
SASL_SSL://127.0.0.1:{self.sasl},MUTUAL://127.0.0.1:{self.mutual},EXPIRED://127.0.0.1:{self.expired}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.plain},SASL_SSL://localhost:{self.sasl},\
MUTUAL://localhost:{self.mutual},EXPIRED://localhost:{self.expired}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,MUTUAL:SSL,EXPIRED:SSL
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={path('ca.pem')}
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={path('expired-server.pem')}
""")
        self.environment = {**os.environ, "KAFKA_PORT": str(self.plain), "KAFKA_DIR": directory,
                            "KAFKA_SASL_PORT": str(self.sasl), "KAFKA_CONFIG": config, "KAFKA_NODES": "1",
                            "KAFKA_WAIT": "240"}
        self.ca = os.path.join(directory, "tls", "ca.pem")
        try:
            subprocess.run([START_KAFKA, start], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
                           timeout=300)
        except BaseException:
            self.stop()
            raise

    def tool(self, *arguments):
        command = [os.path.join(self.scripts, "tool"), arguments[0], "--bootstrap-server", f"127.0.0.1:{self.plain}", *arguments[1:]]
        # Kafka's own programs give up early on a busy machine.
        for _ in range(4):
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
            if done.returncode == 0:
                return
        raise OSError(f"tool {' '.join(arguments)}: {done.stdout} {done.stderr}")

    def allow(self, user, prefix, *operations):
        self.tool("acls", "--add", "--allow-principal", f"User:{user}", *sum((["--operation", o] for o in operations), []),
                  "--topic", f"{prefix}.", "--resource-pattern-type", "prefixed")

    def stop(self):
        subprocess.run([os.path.join(self.scripts, "stop"), "--kill"], env=self.environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=60)
