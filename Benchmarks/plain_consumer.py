"""A plain Python consumer: confluent-kafka and orjson, or json where that is missing. Beside the consumer library in
`scripts/bench consumer`.

    plain_consumer.py BOOTSTRAP TOPIC PARTITIONS COUNT

Reads COUNT events from the beginning and prints one line of JSON: seconds between the first record and the last, CPU seconds of the
process in that time, records."""

import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

try:
    from orjson import loads
except ImportError:
    from json import loads


def main():
    bootstrap, topic, partitions, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-python", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
    count = 0
    began = cpu = 0.0
    deadline = time.monotonic() + 120
    while count < wanted and time.monotonic() < deadline:
        for record in consumer.consume(500, 1):
            if record.error():
                continue
            if count == 0:
                began, cpu = time.monotonic(), time.process_time()
            event = loads(record.value())
            if event["id"]:
                count += 1
    print(json.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "records": count, "json": loads.__module__}))
    consumer.close()
    return 0 if count >= wanted else 1


sys.exit(main())
