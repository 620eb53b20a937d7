import SMSBridgeSettings

/// What `smsbridge help` explains besides commands and settings.
enum HelpTopics {
    static let all = [
        HelpTopic("exit-codes", summary: "exit codes of the commands", text: exitCodes),
        HelpTopic("output", summary: "output of the commands: streams, JSON, units, colours", text: output),
        HelpTopic("connections", summary: "connect to a Kafka with TLS, SASL and ACLs", text: connections),
        HelpTopic("control-panel", summary: "connect SMSPortal's Control Panel", text: controlPanel),
    ]

    private static let exitCodes = """
        Every command ends with one of these:

          0    complete; also when there was nothing to do. serve: ended as asked; check: every promise holds
          1    failed, and why is on standard error. serve: it could not serve; check: a promise does not hold;
               simulate: a callback was given up, rejected for good or abandoned
          2    usage: the command line or the settings are wrong; every problem is named at once, nothing was started
          3    a part of the input is damaged or malformed; the rest was processed (spool, import)
          4    interrupted, or records remain: run it again to resume (spool drain, replay, import, dlt,
               quarantine);
               parked rows go with spool drain --parked or spool discard
          5    events lie behind an open transaction: run it again when it has ended (replay, import, dlt, quarantine)
          6    a part of what was asked for has been deleted; what is left was processed (replay, import)
          130  ended at once by Ctrl-C, 143 by SIGTERM. What runs for long ends in order at the first of them, and so at
               the second; serve with 0
          141  the reader of standard output has gone (| head)

        docs/reprocess.md has the messages that belong to them.
        """

    private static let output = """
        Results go to standard output; progress, warnings and errors to standard error. So `smsbridge … --json | jq` and
        `smsbridge … > file` are safe.

          flags       -c --config, -b --kafka-bootstrap-servers, -n --count, -o --from, wherever a command has the long one
          --json      an object a line, of fixed names; texts for people may change, names do not without a word in the changelog
          durations   10s, 250ms, 1h30m: units d, h, m, s, ms, us
          sizes       10MiB, 512KiB, 1GiB, or 10MB, 500kB, or plain bytes
          colours     of demo on a terminal only; NO_COLOR=1 turns them off
          bars        on a terminal only; elsewhere a plain line now and then

        Numbers of subscribers, texts and secrets are shown only where a flag asks for them (--show-content, --show-keys,
        --show-secrets), and never in a log line or an error.
        """

    private static let connections = """
        Everything about the way to Kafka is a property of librdkafka under kafka.properties:

          kafka:
            bootstrapServers: [kafka-1:9093, kafka-2:9093]
            properties:
              security.protocol: sasl_ssl           # plaintext, ssl, sasl_plaintext, sasl_ssl
              ssl.ca.location: /etc/smsbridge/ca.pem
              sasl.mechanism: PLAIN                 # SCRAM-SHA-512 takes librdkafka 2.6.1 or later with Kafka 4
              sasl.username: smsbridge
            propertyFiles:
              sasl.password: /run/secrets/kafka-password

        Mutual TLS: security.protocol: ssl, and ssl.certificate.location, ssl.key.location (perhaps ssl.key.password).

        The least that the user needs, with topics that others make (topics.create: false):

          kafka-acls.sh --bootstrap-server kafka-1:9093 --command-config admin.properties --add --allow-principal User:smsbridge \\
            --operation Write --operation DescribeConfigs --topic smsportal. --resource-pattern-type prefixed

        Create in addition, where the bridge makes them; IdempotentWrite on the cluster before Kafka 2.8.
        `smsbridge check` tries all of it, and names what is missing with the command. docs/connect.md has the mechanisms
        and the managed Kafkas.
        """

    private static let controlPanel = """
        1. smsbridge templates --config /etc/smsbridge/smsbridge.yaml --url https://your-host --show-secrets
        2. In the Control Panel, make a webhook for each type with the method, address, header and body that it prints.
        3. Press Test: the vendor sends an event of its sample number, 27000000001, which goes to the topic smsportal.test:
           smsbridge tail --type test --from-beginning
        4. Send yourself a message, answer it with `He said "no" & 100%`, and look: smsbridge tail --type reply --show-content

        A webhook can be saved only once its test has been answered 2xx: serve first. docs/control-panel.md has the rest.
        """
}
