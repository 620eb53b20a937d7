"""The table. `says` is what the program must say: what is wrong, where it stands, and what to do about it."""

from dataclasses import dataclass, field

SECRET = "s3cr3t-value-of-a-test-0001"
OTHER = "s3cr3t-value-of-a-test-0002"
KAFKA = "127.0.0.1:1"


@dataclass
class Case:
    name: str
    says: list
    code: int = 2
    command: str = "serve"
    args: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    #: text or bytes of the configuration file; `says` may name its lines as FILE:2
    yaml: object = None
    #: the program goes on: its standard error is read until all of `says` is there, and then it is ended
    goes_on: bool = False
    #: what it must not say
    says_not: list = field(default_factory=list)
    #: leaves out what makes an otherwise right configuration
    bare: bool = False


def of_settings(folder):
    """What is wrong in itself; nothing is connected to."""
    secrets = {"SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET, "SMSBRIDGE_AUTH_NONE": ""}

    def file(name, text):
        path = f"{folder}/{name}"
        with open(path, "wb") as out:
            out.write(text if isinstance(text, bytes) else text.encode())
        return path

    kafka = "SMSBRIDGE_KAFKA_PROPERTIES_"
    return [
        Case("a wrong key", ["FILE:2:3", "http.prt", "did you mean http.port?"], yaml="http:\n  prt: 1\n"),
        Case("a wrong section", ["FILE:1:1", "htp", "did you mean http?"], yaml="htp:\n  port: 1\n"),
        Case("a key of another section", ["FILE:2:3", "did you mean spool.path?"], yaml="spool:\n  dir: /x\n"),
        Case("a key with dots", ["FILE:1:1", "write it nested", "http: {port: …}"], yaml="http.port: 1\n"),
        Case("a word for a number", ["FILE:2:9", "http.port", "expected", "0 to 65535", "eighty"],
             yaml="http:\n  port: eighty\n"),
        Case("a list for a value", ["FILE:2:9", "http.port", "found a list"], yaml="http:\n  port: [1]\n"),
        Case("a value for a mapping", ["FILE:1:7", "http", "expected a mapping", "port"], yaml="http: 1\n"),
        Case("a key without a value", ["FILE:2:3", "http.port", "leave the key out for the default"],
             yaml="http:\n  port:\n"),
        Case("a yes for true", ["topics.create", "true or false", "FILE:2:11"], yaml="topics:\n  create: yes\n"),
        Case("a number out of range", ["flag --http-port", "0 to 65535", "70000"], args=["--http-port", "70000"]),
        Case("a duration without a unit", ["FILE:2:13", "publish.deadline", "the unit is missing"],
             yaml="publish:\n  deadline: 900\n"),
        Case("a duration out of range", ["SMSBRIDGE_PUBLISH_DEADLINE", "9900ms"], env={"SMSBRIDGE_PUBLISH_DEADLINE": "11s"}),
        Case("a size with a wrong unit", ["FILE:2:13", "spool.maxBytes", "KiB, MiB"], yaml="spool:\n  maxBytes: 10Mb\n"),
        Case("a word out of none", ["log.level", "trace, debug, info, warning, error", "did you mean warning?"],
             args=["--log-level", "warnin"]),
        Case("a bad base path", ["http.basePath", "FILE:2:13", "expected"], yaml="http:\n  basePath: bridge/\n"),
        Case("a bad topic prefix", ["topics.prefix", "expected"], args=["--topics-prefix", "sms portal"]),
        Case("a URL for a broker", ["kafka.bootstrapServers", "host:port", "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS"],
             env={"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": "http://kafka:9092"}),
        Case("no broker", ["kafka.bootstrapServers", "is required", "--kafka-bootstrap-servers"],
             env={"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": ""}),
        Case("a field that there is not", ["events.reply.fields", "msisdnn"], args=["--events-reply-fields", "nummer=msisdnn"]),
        # Contradictions.
        Case("a hedge beyond the deadline", ["publish.hedge", "publish.deadline", "expected less than", "FILE:2:10"],
             yaml="publish:\n  hedge: 2s\n"),
        Case("a linger beyond the hedge", ["publish.linger", "publish.hedge", "expected less than"],
             args=["--publish-linger", "500ms"]),
        Case("a shutdown that begins after its end", ["shutdown.delay", "shutdown.deadline", "expected"],
             args=["--shutdown-delay", "30s"]),
        Case("room for less than one body", ["http.maxBufferedRequestBytes", "http.maxBodyBytes", "expected no less than"],
             args=["--http-max-buffered-request-bytes", "64KiB"]),
        Case("one port for two", ["http.port and admin.port are both 8080"], args=["--http-port", "8080", "--admin-port", "8080"]),
        Case("everybody and a secret", ["auth.none", "auth.header.secrets", "remove one of them"],
             env={"SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET}),
        Case("nobody is let in", ["no authentication is configured", "auth.header.secrets", "auth.none: true"],
             env={"SMSBRIDGE_AUTH_NONE": ""}),
        # The file.
        Case("a broken file", ["FILE:3", "not valid YAML"], yaml="http:\n  port: [1\nadmin: }\n"),
        Case("a tab in the file", ["FILE:2", "not valid YAML"], yaml="http:\n\tport: 1\n"),
        Case("a key twice", ["FILE:3:3", '"port"', "stands here again", "2:3"], yaml="http:\n  port: 1\n  port: 2\n"),
        Case("two documents", ["FILE:3:1", "a second document", "only one is read"], yaml="http:\n  port: 1\n---\nx: 1\n"),
        Case("an anchor", ["FILE:1:7", "anchors", "repeat the value"], yaml="http: &a\n  port: 1\n"),
        Case("bytes that are no text", ["FILE:2", "UTF-8"], yaml=b"http:\n  host: \"\xff\xfe\"\n"),
        Case("a file that is not there", ["flag --config", "/nowhere.yaml", "No such file"], args=["--config", "/nowhere.yaml"]),
        Case("a directory for a file", ["flag --config", folder, "directory"], args=["--config", folder]),
        Case("a file that is too large", ["--config", "more than 1 MiB"], args=["--config", file("large", b" " * (1 << 21))]),
        # Secrets.
        Case("a secret's file that is not there", ["auth.header.secretsFile", "/run/none", "No such file"],
             env={"SMSBRIDGE_AUTH_NONE": "", "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/run/none"}),
        Case("a secret's file that is a directory", ["auth.header.secretsFile", "directory", "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE"],
             env={"SMSBRIDGE_AUTH_NONE": "", "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": folder}),
        Case("an empty secret's file", ["auth.header.secretsFile", "holds no secret", "one a line"],
             env={"SMSBRIDGE_AUTH_NONE": "", "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": file("nothing", "\n")}),
        Case("a secret and its file", ["auth.header.secrets", "not both"],
             env={**secrets, "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": file("secret", OTHER)}),
        Case("three secrets", ["auth.header.secrets", "at most 2"],
             env={"SMSBRIDGE_AUTH_NONE": "", "SMSBRIDGE_AUTH_HEADER_SECRETS": f"{SECRET},{OTHER},s3cr3t-value-of-a-test-0003"}),
        Case("a secret named like a type", ["auth.path.secrets", "named like an event type"],
             env={"SMSBRIDGE_AUTH_NONE": "", "SMSBRIDGE_AUTH_PATH_SECRETS": "reply"}),
        Case("a secret that needs escapes", ["auth.query.secrets", "letters, digits"],
             env={"SMSBRIDGE_AUTH_NONE": "", "SMSBRIDGE_AUTH_QUERY_SECRETS": SECRET + "&x"}),
        # The command line.
        Case("a wrong flag", ["--http-prt", "did you mean --http-port?"], args=["--http-prt", "1"]),
        Case("a flag without its value", ["--http-port", "needs a value"], args=["--http-port"]),
        Case("a flag twice", ["--http-port", "given 2 times"], args=["--http-port", "1", "--http-port", "2"]),
        Case("a switch's value apart", ["unexpected argument", "--flag=false"], args=["--topics-create", "false"]),
        Case("a wrong command", ['"serv"', "did you mean serve?"], command="serv", bare=True),
        Case("a command without its part", ["topics needs one of: create"], command="topics", bare=True),
        Case("a wrong topic of help", ['"setings"', "did you mean settings?"], command="help", args=["setings"], bare=True),
        Case("a shell that there is not", ["shell", "bash, zsh, fish"], command="completions", args=["tcsh"], bare=True),
        Case("no address to simulate", ["--url URL is required"], command="simulate", bare=True),
        Case("an address that is none", ["url", "neither http nor https"], command="simulate", args=["--url", "ftp://x"], bare=True),
        Case("a type that is none", ["--types", '"replys"', "did you mean reply?"], command="simulate",
             args=["--url", "http://127.0.0.1:1", "--types", "replys"], bare=True),
        Case("certificates that are not there", ["--ca", "/nowhere.pem", "No such file"], command="simulate",
             args=["--url", "https://127.0.0.1:1", "--ca", "/nowhere.pem"], bare=True),
        Case("an address without its scheme", ["--url", "https://sms.example.com"], command="templates",
             args=["--url", "sms.example.com"], bare=True),
        # Properties of librdkafka.
        Case("a property that there is not", ["kafka.properties.sasl.mechanismz", "no such property", "did you mean",
             "SMSBRIDGE_KAFKA_PROPERTIES_SASL_MECHANISMZ"], env={kafka + "SASL_MECHANISMZ": "x"}),
        Case("a property that breaks a promise", ["kafka.properties.acks", "every in-sync replica", kafka + "ACKS"],
             env={kafka + "ACKS": "1"}),
        Case("a property that is a setting", ["linger.ms", "is the setting publish.linger", "FILE:3"],
             yaml="kafka:\n  properties:\n    linger.ms: 5\n"),
        Case("a property's wrong value", ["kafka.properties.security.protocol", "does not take this value"],
             env={kafka + "SECURITY_PROTOCOL": "tls"}),
        Case("a nested property", ["FILE:3", "not nested", "security.protocol"],
             yaml="kafka:\n  properties:\n    security:\n      protocol: ssl\n"),
        Case("a password's file that is not there", ["sasl.password", "/run/none", "No such file"],
             env={kafka + "SASL_PASSWORD_FILE": "/run/none"}),
        Case("a password and its file", ["sasl.password", "not both"],
             env={kafka + "SASL_PASSWORD": SECRET, kafka + "SASL_PASSWORD_FILE": file("password", OTHER)}),
        Case("an authority that is not there", ["kafka.properties.ssl.ca.location", kafka + "SSL_CA_LOCATION", "/nowhere.pem",
             "No such file"], env={kafka + "SSL_CA_LOCATION": "/nowhere.pem"}),
    ]


def of_machine(folder, taken, silent):
    """What is wrong with this machine, or between it and a Kafka. `taken` is a port that is listened on, `silent` one that
    answers nothing."""
    plain = f"{folder}/a-file"
    open(plain, "w").close()
    none = ["--spool-none"]
    return [
        Case("a spool in a file's place", ["spool", plain, "Not a directory"], code=1, command="check",
             args=["--spool-path", f"{plain}/spool", "--no-event"]),
        Case("a spool that cannot be made", ["spool cannot store or read events", "/proc/spool"], code=0, goes_on=True,
             args=["--spool-path", "/proc/spool"]),
        Case("a spool in memory", ["/dev/shm", "spool.anyFileSystem"], code=1,
             args=["--spool-path", "/dev/shm/smsbridge-wrong"]),
        Case("a public port that is taken", [f"127.0.0.1:{taken}", "http.port", "in use"], code=1,
             args=["--http-host", "127.0.0.1", "--http-port", str(taken)]),
        Case("a private port that is taken", [f"127.0.0.1:{taken}", "admin.port", "in use"], code=1,
             args=["--admin-port", str(taken)]),
        Case("an address of another machine", ["192.0.2.1", "http.host"], code=1, args=["--http-host", "192.0.2.1"]),
        Case("a name that is not known, to listen on", ["nowhere.invalid", "http.host"], code=1,
             args=["--http-host", "nowhere.invalid"]),
        Case("a broker that is not known", ["nowhere.invalid:9092", "kafka.bootstrapServers"], code=1, command="check",
             args=["--kafka-bootstrap-servers", "nowhere.invalid:9092"]),
        Case("the same, served without a spool", ["nowhere.invalid:9092", "kafka.bootstrapServers"], code=1,
             args=["--kafka-bootstrap-servers", "nowhere.invalid:9092", *none]),
        Case("nothing listens", [KAFKA, "refused", "kafka.bootstrapServers"], code=1, command="check"),
        Case("the same, served with a spool", ["topics not ready", KAFKA, "refused", "kafka.bootstrapServers"], code=0,
             goes_on=True),
        Case("a broker that says nothing", ["Kafka cannot be reached", str(silent)], code=1, command="check",
             args=["--kafka-bootstrap-servers", f"127.0.0.1:{silent}"]),
        Case("nothing to read from", [KAFKA], code=1, command="topics create"),
        Case("nobody to call", ["given up", "connect"], code=1, command="simulate", bare=True,
             args=["--url", "http://127.0.0.1:1", "--count", "2", "--attempts", "2", "--backoff", "10ms"]),
    ]


def of_cluster(cluster, prefixes):
    """What is wrong between the bridge and a real Kafka. `prefixes` are those of topics that are weak each in one way."""
    path = cluster.certificates.path
    plain = {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{cluster.plain}"}

    def secured(user="bridge", password="bridge-secret", **more):
        properties = {"SECURITY_PROTOCOL": "sasl_ssl", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": user,
                      "SASL_PASSWORD": password, "SSL_CA_LOCATION": cluster.ca, **more}
        return {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.sasl}",
                **{f"SMSBRIDGE_KAFKA_PROPERTIES_{key}": value for key, value in properties.items()}}

    def mutual(port=None, **more):
        properties = {"SECURITY_PROTOCOL": "ssl", "SSL_CA_LOCATION": cluster.ca, **more}
        return {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port or cluster.mutual}",
                **{f"SMSBRIDGE_KAFKA_PROPERTIES_{key}": value for key, value in properties.items()}}

    def certificate(name, key=None):
        return {"SSL_CERTIFICATE_LOCATION": path(f"{name}.pem"), "SSL_KEY_LOCATION": path(key or f"{name}.key")}

    def judged(prefix):
        return {"command": "check", "code": 1, "env": plain, "args": ["--topics-prefix", prefixes[prefix], "--no-event"]}

    acls = "kafka-acls.sh --bootstrap-server"
    return [
        Case("plain text to a TLS listener", ["security.protocol", "ssl"], code=1, command="check",
             env={"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.sasl}"}),
        Case("TLS to a plain listener", ["SSL", "is this a listener with TLS", "security.protocol"], code=1, command="check",
             env={**secured(), **plain}),
        Case("a wrong authority", ["ssl.ca.location", "openssl s_client", "certificate"], code=1, command="check",
             env=secured(SSL_CA_LOCATION=path("other.pem"))),
        Case("the same, served without a spool", ["cannot serve", "ssl.ca.location"], code=1, args=["--spool-none"],
             env=secured(SSL_CA_LOCATION=path("other.pem"))),
        Case("a server's certificate that has expired", ["ssl.ca.location", "in date", "openssl s_client"], code=1, command="check",
             env=mutual(cluster.expired, SSL_CA_LOCATION=path("ca.pem"))),
        Case("an authority that is no certificate", ["ssl.ca.location"], code=1, command="check",
             env=secured(SSL_CA_LOCATION=path("ca.key"))),
        Case("a wrong password", ["sasl.password", "PLAIN", "sasl.username"], code=1, command="check", env=secured(password=SECRET)),
        Case("the same, served without a spool", ["cannot serve", "sasl.password"], code=1, args=["--spool-none"],
             env=secured(password=SECRET)),
        Case("the same, served with a spool", ["topics not ready", "sasl.password"], code=0, goes_on=True,
             env=secured(password=SECRET)),
        Case("a mechanism that is not offered", ["sasl.mechanism", "SCRAM-SHA-256"], code=1, command="check",
             env=secured(SASL_MECHANISM="SCRAM-SHA-256")),
        Case("SCRAM with an old librdkafka, at the start", ["SCRAM-SHA-512", "2.6.1"], code=0, goes_on=True,
             env=secured(SASL_MECHANISM="SCRAM-SHA-512")),
        Case("SCRAM with an old librdkafka", ["SCRAM-SHA-512", "2.6.1 or later", "PLAIN over TLS"], code=1, command="check",
             env=secured(SASL_MECHANISM="SCRAM-SHA-512")),
        Case("no permission at all", ["User:stranger", "--operation Write", "--operation Create", acls], code=1, command="check",
             env=secured("stranger", "stranger-secret"), args=["--topics-prefix", prefixes["good"]]),
        Case("the same, served with a spool", ["could not be created", "User:stranger", "--operation Create", acls], code=0,
             goes_on=True, env=secured("stranger", "stranger-secret"), args=["--topics-prefix", "nothing-of-ours"]),
        Case("the same, served without a spool", ["cannot serve", "User:stranger", acls], code=1,
             env=secured("stranger", "stranger-secret"), args=["--topics-prefix", "nothing-of-ours", "--spool-none"]),
        Case("may see and not write", ["(Write)", "--operation Write", f"--topic {prefixes['seen']}.", "prefixed", acls], code=1,
             command="check", env=secured(), args=["--topics-prefix", prefixes["seen"]]),
        Case("the same, served with a spool", ["permission missing", "--operation Write", acls], code=0, goes_on=True,
             env=secured(), args=["--topics-prefix", prefixes["seen"]]),
        Case("may not see the configuration", ["cannot tell", "DescribeConfigs", acls], code=1, command="check", env=secured(),
             args=["--topics-prefix", prefixes["seen"]]),
        Case("may not make topics", ["(Create)", "smsbridge topics create", "--operation Create", acls], code=1, command="check",
             env=secured(), args=["--topics-prefix", "nothing-of-ours"]),
        Case("may not make topics, and tries", ["could not be created", "--operation Create", acls], code=1,
             command="topics create", env=secured(), args=["--topics-prefix", "nothing-of-ours"]),
        Case("no client certificate", ["ssl.certificate.location", "client certificate"], code=1, command="check", env=mutual()),
        Case("a client certificate that has expired", ["ssl.certificate.location", "in date"], code=1, command="check",
             env=mutual(**certificate("expired"))),
        Case("a client certificate of somebody else", ["ssl.certificate.location", "an authority that the cluster knows"], code=1,
             command="check", env=mutual(**certificate("stranger"))),
        Case("a key of another certificate", ["ssl.key.location", "does not belong"], code=1, command="check",
             env=mutual(**certificate("good", "expired.key"))),
        Case("the same, served", ["cannot serve", "ssl.key.location", "does not belong"], code=1,
             env=mutual(**certificate("good", "expired.key"))),
        Case("a key without its passphrase", ["ssl.key.location", "ssl.key.password"], code=1, command="check",
             env=mutual(**certificate("good", "locked.key"))),
        Case("a certificate that is none", ["ssl.certificate.location", "PEM"], code=1, command="check",
             env=mutual(SSL_CERTIFICATE_LOCATION=path("good.csr"), SSL_KEY_LOCATION=path("good.key"))),
        # Topics.
        Case("topics that are missing", ["missing topics", "topics.create: true"], code=1, command="check", env=plain,
             args=["--topics-prefix", "nothing-of-ours", "--topics-create=false"]),
        Case("the same, served without a spool", ["missing topics", "nothing-of-ours.reply", "topics.create: true"], code=1,
             env=plain, args=["--topics-prefix", "nothing-of-ours", "--topics-create=false", "--spool-none"]),
        Case("replication of 1", ["replication is 1", "3 is usual"], **judged("good")),
        Case("replication of 1, where durability is insisted on", ["durability.strict", "replication is 1"], code=1, env=plain,
             args=["--topics-prefix", prefixes["good"], "--durability-strict", "--spool-none"]),
        Case("one in-sync replica", ["min.insync.replicas is 1"], **judged("good")),
        Case("unclean leader election", ["failed", "unclean.leader.election.enable is true"], **judged("unclean")),
        Case("a message limit that is too small", ["failed", "max.message.bytes is 20000", "publish.batchBytes lower"], **judged("small")),
        Case("a retention that is too short", ["failed", "retention.ms is 3600000", "raise it"], **judged("short")),
        Case("no limit on old records", ["warning", "message.timestamp.before.max.ms is not below retention.ms", "kafka-configs"],
             **judged("old")),
        Case("compaction", ["failed", "cleanup.policy is compact", "set it to delete"], **judged("compact")),
    ]


def secured(cluster, user="bridge", password="bridge-secret"):
    """The settings of a user who logs in by SASL_SSL."""
    properties = {"SECURITY_PROTOCOL": "sasl_ssl", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": user,
                  "SASL_PASSWORD": password, "SSL_CA_LOCATION": cluster.ca}
    return {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.sasl}",
            **{f"SMSBRIDGE_KAFKA_PROPERTIES_{key}": value for key, value in properties.items()}}


def of_writing(cluster, prefixes, callbacks, record, spools):
    """Every command that writes says before it begins what is missing.

    `callbacks` is a file for `import`, `record` one for `replay`, and `spools` are four with an event each."""
    acls = "kafka-acls.sh --bootstrap-server"
    raw = ["Local: ", "FindCoordinator"]
    away = {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": KAFKA}
    bridge, stranger, mistyped = secured(cluster), secured(cluster, "stranger", "stranger-secret"), secured(cluster, password=SECRET)

    def prefix(name):
        return ["--topics-prefix", prefixes[name]]

    def case(name, command, says, env, args, code=1):
        return Case(name, says, code=code, command=command, env=env, args=args, says_not=raw)

    redrive = ["--group", "read.crm"]
    table = [
        case("may read and not redrive", "dlt redrive",
             ["(Write)", "--operation Write --topic read.crm-redrive", "(Create)", "cleanup.policy=compact",
              "--operation Create --topic smsbridge-dlt-read.crm", acls], bridge, redrive),
        case("may read and not store what was discarded", "dlt discard",
             ["(Create)", "--operation Create --topic smsbridge-dlt-read.crm", acls], bridge, [*redrive, "--execute"]),
        case("a group without topics", "dlt redrive", ["unknown-redrive does not exist"],
             {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{cluster.plain}"}, ["--group", "unknown"]),
        case("may read and not publish", "quarantine redecode",
             ["(Write)", f"--operation Write --topic {prefixes['read']}.delivery-status", "(Create)", acls], bridge, prefix("read")),
        case("may see and not write", "import",
             ["(Write)", f"--operation Write --topic {prefixes['seen']}.reply", acls, "nothing was published"], bridge,
             [callbacks, "--execute", *prefix("seen")]),
        case("may see and not compare", "import", ["(Read", f"--topic {prefixes['seen']}.reply", acls], bridge,
             [callbacks, "--missing", *prefix("seen")]),
        case("may not commit its position", "import", ["(Read on the group)", "--group smsbridge-import-n", acls], bridge,
             [callbacks, "--name", "n", "--execute", *prefix("good")]),
        case("topics that are missing", "import", ["missing topics: nothing-of-ours.reply"],
             {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{cluster.plain}"},
             [callbacks, "--execute", "--topics-prefix", "nothing-of-ours"]),
        case("Kafka is away", "import", ["nothing listens there", "kafka.bootstrapServers"], away, [callbacks, "--execute"]),
        case("a wrong password", "import", ["sasl.password", "sasl.username"], mistyped, [callbacks, "--missing"]),
        case("may see and not write", "spool drain",
             ["(Write)", f"--operation Write --topic {prefixes['seen']}.reply", acls, "nothing was published"], bridge,
             ["--path", spools[0], *prefix("seen")]),
        case("no permission at all", "spool drain", ["User:stranger", f"--topic {prefixes['seen']}.reply", acls], stranger,
             ["--path", spools[1], *prefix("seen")]),
        case("Kafka is away", "spool drain", ["nothing listens there", "kafka.bootstrapServers"], away,
             ["--path", spools[2], *prefix("seen")]),
        case("a wrong password", "spool drain", ["sasl.password", "sasl.username"], mistyped, ["--path", spools[3], *prefix("seen")]),
        case("may read and not write the target", "replay", ["(Write)", "--operation Write --topic read.crm-redrive", acls], bridge,
             [*prefix("read"), "--from", "earliest", "--to-topic", "read.crm-redrive"]),
        case("a target that is missing", "replay", ["nowhere does not exist"],
             {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{cluster.plain}"}, ["--from-file", record, "--to-topic", "nowhere"]),
        case("a wrong password", "replay", ["sasl.password", "sasl.username"], mistyped,
             ["--from-file", record, "--to-topic", "written.crm-redrive"]),
    ]
    # What does not write asks for nothing more; and with exactly the permissions that the messages name it goes on.
    table += [
        case("counts, and may only read", "dlt redrive", ["would be redriven"], bridge, [*redrive, "--dry-run"], code=0),
        case("counts, and may only read", "dlt discard", [], bridge, redrive, code=0),
        case("counts, and may only read", "quarantine redecode", ["nothing was published"], bridge,
             [*prefix("read"), "--dry-run"], code=0),
        case("exactly the permissions", "dlt redrive", ["redriven"], bridge, ["--group", "written.crm"], code=0),
        case("exactly the permissions", "import", [], bridge, [callbacks, "--execute", *prefix("good")], code=0),
    ]
    return table


#: Commands that read from Kafka, and the arguments with which they do.
READING = {
    "tail": ["--count", "1"], "replay": ["--dry-run", "--from", "earliest"], "dlt list": ["--group", "crm"],
    "quarantine list": [], "lag": ["--group", "crm"], "topics list": [],
}


def of_commands(cluster, prefixes, is_long):
    """Every command that reads says what `check` says: what is missing, on which resource, and how it is granted.

    What takes seconds is tried with some of the commands, unless `is_long`."""
    acls = "kafka-acls.sh --bootstrap-server"
    plain = {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{cluster.plain}"}

    def case(name, command, says, env, prefix="good", **more):
        return Case(name, says, code=1, command=command, env=env,
                    args=["--topics-prefix", prefixes[prefix], *READING[command]], **more)

    raw = ["Local: Broker transport failure", "FindCoordinator"]
    table = []
    for command in READING:
        cases = [
            case("Kafka is away", command, ["nothing listens there", "kafka.bootstrapServers"],
                 {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": KAFKA}, says_not=raw),
            case("a host that is not known", command, ["the name is not known on this machine", "kafka.bootstrapServers"],
                 {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": "nowhere.invalid:9092"}, says_not=raw),
            case("a wrong password", command, ["sasl.password", "PLAIN", "sasl.username"], secured(cluster, password=SECRET),
                 says_not=raw),
            case("plain text to a TLS listener", command, ["security.protocol", "ssl"],
                 {"SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.sasl}"}, says_not=raw),
        ]
        chosen = {"tail": cases[:3], "replay": cases[2:], "dlt list": cases[2:3], "quarantine list": cases[1:2], "lag": cases[:1]}
        table += cases if is_long else chosen.get(command, cases[:1])
        table += [
            case("no permission at all", command, ["User:stranger", acls, "--operation"], secured(cluster, "stranger", "stranger-secret"),
                 says_not=["FindCoordinator"]),
        ]
    everything = f"--topic {prefixes['seen']}. --resource-pattern-type prefixed"
    table += [
        case("may see and not read", "tail", ["(Read", "--operation Read", everything, acls], secured(cluster), "seen"),
        case("may see and not read", "replay", ["(Read", "--operation Read", f"--topic {prefixes['seen']}.reply", acls], secured(cluster),
             "seen"),
        case("may see and not read", "quarantine list",
             ["(Read", f"--topic smsbridge-redecode-{prefixes['seen']}.quarantine --topic {prefixes['seen']}.quarantine", acls],
             secured(cluster), "seen"),
        case("may see the topics and not the group", "lag", ["(Describe on the group)", "--group crm", acls], secured(cluster), "seen"),
        Case("may read and not commit its position", ["(Read on the group)", "--group smsbridge-replay-n", acls], code=1,
             command="replay", env=secured(cluster), args=["--topics-prefix", prefixes["read"], "--from", "earliest", "--name", "n",
                                                   "--to-file", "/dev/null"]),
    ]
    # With exactly the right to read, nothing is said of groups.
    exactly = {"code": 0, "env": secured(cluster), "says_not": ["FindCoordinator", "uthoriz"]}
    table += [
        Case("exactly the right to read", ["records would be sent"], command="replay",
             args=["--topics-prefix", prefixes["read"], *READING["replay"]], **exactly),
        Case("exactly the right to read", [], command="quarantine list", args=["--topics-prefix", prefixes["read"]],
             **exactly),
        Case("exactly the right to read", [], command="tail",
             args=["--topics-prefix", prefixes["read"], "--type", "test", "--from", "earliest", "--count", "1"], **exactly),
        Case("the topics of a cluster", ["quarantine"], code=0, command="topics list", env=plain,
             args=["--topics-prefix", prefixes["good"]]),
    ]
    return table


#: Topic configurations that are weak, by the name of the prefix.
WEAK_TOPICS = {
    "good": [], "seen": [], "read": [], "unclean": ["unclean.leader.election.enable=true"], "small": ["max.message.bytes=20000"],
    "short": ["retention.ms=3600000"], "old": ["message.timestamp.before.max.ms=604800001", "retention.ms=604800000"], "compact": ["cleanup.policy=compact"],
}
