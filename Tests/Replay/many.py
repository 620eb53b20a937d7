"""Windows over many events, in three time zones, against a reader that is not ours.

The topics have what makes windows wrong: transactions, committed and aborted, compaction, deleted records, partitions that
were added, clocks that were ahead and behind, and a night on which the clocks of New York were set back.
"""

import datetime
import json
import random
import time
import zoneinfo

from clusters import DELETED, DONE, HOUR, Area, said, shown, until
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

UTC = datetime.timezone.utc
ZONES = ("Africa/Johannesburg", "America/New_York", "Asia/Kathmandu")
TOPICS = ("reply", "delivery-status")
CHUNK = 2_000


def clocks_set_back():
    """The day of the first Sunday in November before today: New York's clocks are set back in its night."""
    today = datetime.datetime.now(UTC).date()
    for year in (today.year, today.year - 1):
        first = datetime.date(year, 11, 1)
        sunday = first + datetime.timedelta((6 - first.weekday()) % 7)
        if sunday + datetime.timedelta(5) < today:
            return sunday


def milliseconds(moment):
    return int(moment.timestamp() * 1_000)


class Many:
    """The events, and what a reader of the broker's own protocol finds of them."""

    def __init__(self, area, count, start, span):
        self.area, self.count, self.start, self.span = area, count, start, span
        self.chance = random.Random(23)
        # The times of the first records of partitions of which something was deleted.
        self.firsts = []

    def time(self, number):
        at = self.start + number * self.span // self.count
        # One bridge's clock is six hours ahead, another one's three hours behind.
        return at + (6 * HOUR if number % 97 == 0 else -3 * HOUR if number % 89 == 0 else 0)

    def produce(self, producer, number):
        topic = self.area.topic(TOPICS[number % 2])
        while True:
            try:
                # One number in five belongs to few keys, so that compaction has something to remove.
                key = b"2782%07d" % (number % 500 if number % 5 == 0 else number)
                return producer.produce(topic, self.area.payload, key, timestamp=self.time(number), headers=[("ce_id", b"%d" % number)])
            except BufferError:
                producer.poll(0.1)

    def fill(self):
        plain = Producer({**self.area.client, "linger.ms": 20, "log_level": 0, "queue.buffering.max.messages": 500_000})
        several = Producer({**self.area.client, "transactional.id": self.area.prefix, "linger.ms": 5})
        several.init_transactions(60)
        for chunk, first in enumerate(range(0, self.count, CHUNK)):
            numbers = range(first, min(first + CHUNK, self.count))
            if first <= self.count // 2 < first + CHUNK:
                plain.flush(60)
                self.add_partitions()
                for producer in (plain, several):
                    for name in TOPICS:
                        producer.list_topics(self.area.topic(name), 10)
            if chunk % 10 not in (3, 7):
                for number in numbers:
                    self.produce(plain, number)
                plain.poll(0)
                continue
            several.begin_transaction()
            for number in numbers:
                self.produce(several, number)
            if chunk % 10 == 3:
                several.commit_transaction(60)
            else:
                several.flush(60)
                several.abort_transaction(60)
        if plain.flush(120):
            raise OSError("the topics could not be filled")

    def add_partitions(self):
        names = [self.area.topic(name) for name in TOPICS]
        for future in self.area.admin.create_partitions([NewPartitions(name, 6) for name in names]).values():
            future.result()
        until(lambda: all(len(self.area.admin.list_topics(name, 10).topics[name].partitions) == 6 for name in names))

    def first_offsets(self):
        consumer = Consumer({**self.area.client, "group.id": "judge"})
        try:
            return {(name, partition): consumer.get_watermark_offsets(TopicPartition(self.area.topic(name), partition), 10)
                    for name in TOPICS for partition in range(6)}
        finally:
            consumer.close()

    def read(self):
        """All that is committed and not deleted: time and number."""
        consumer = Consumer({**self.area.client, "group.id": "judge", "enable.auto.commit": False, "isolation.level": "read_committed",
                             "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        places = [TopicPartition(self.area.topic(name), partition, low)
                  for (name, partition), (low, _) in self.first_offsets().items()]
        consumer.assign(places)
        lows = {(place.topic, place.partition): place.offset for place in places if place.offset > 0}
        self.firsts = []
        found, open_ends, end = [], len(places), time.monotonic() + 300
        ended = set()
        while len(ended) < open_ends and time.monotonic() < end:
            for record in consumer.consume(10_000, 0.2):
                if record.error():
                    ended.add((record.topic(), record.partition()))
                    continue
                found.append((record.timestamp()[1], int(record.headers()[0][1])))
                if lows.get((record.topic(), record.partition())) == record.offset():
                    self.firsts.append(found[-1][0])
        consumer.close()
        if len(ended) < open_ends:
            raise OSError("the topics could not be read to their ends")
        return found

    def delete(self, share):
        """Deletes the first records of each partition, as retention does."""
        places = [TopicPartition(self.area.topic(name), partition, low + int((high - low) * share))
                  for (name, partition), (low, high) in self.first_offsets().items() if partition < 3]
        for future in self.area.admin.delete_records(places).values():
            future.result()


def windows_of(sunday, chance, count):
    """Windows by dates and by times of day, over the zones in turn."""
    yield ZONES[1], str(sunday), str(sunday + datetime.timedelta(1))
    for number in range(count - 1):
        zone = ZONES[number % 3]
        day = sunday + datetime.timedelta(chance.randrange(-1, 3))
        if number % 4 == 0:
            yield zone, str(day), str(day + datetime.timedelta(1))
            continue
        # Not between one and two o'clock: in New York that is twice on one day.
        begin = datetime.datetime.combine(day, datetime.time(chance.randrange(3, 22), chance.randrange(60), chance.randrange(60)))
        ending = begin + datetime.timedelta(minutes=chance.randrange(20, 90) if number % 4 == 1 else chance.randrange(300, 1_800))
        if 0 < ending.hour < 3:
            ending = ending.replace(hour=4)
        yield zone, begin.isoformat(), ending.isoformat()


def many_windows(stand, check):
    small = stand.options.small
    count, number_of_windows = (24_000, 4) if small else (1_000_000, 12)
    sunday = clocks_set_back()
    start = datetime.datetime.combine(sunday - datetime.timedelta(2), datetime.time(), UTC)
    area = Area(stand, "many")
    for name in TOPICS:
        # A cleaner that still works would change what the two readers find: it is awaited by hand only.
        area.create(name, 3, retention_ms=-1, cleanup_policy="delete" if small else "compact",
                    segment_ms=1_000, min_cleanable_dirty_ratio=0.01,
                    min_compaction_lag_ms=0, segment_bytes=1 << 20, delete_retention_ms=0)
    many = Many(area, count, milliseconds(start), 6 * 24 * HOUR)
    began = time.monotonic()
    many.fill()
    print(f"      {count} events in {time.monotonic() - began:.1f} s", flush=True)
    if not small:
        # By hand compaction is awaited; then it ends, so that all readers find the same.
        committed = len(many.read())
        check(until(lambda: len(many.read()) < committed, 120), "compaction has removed records", committed)
    for name in TOPICS:
        area.configure(name, retention_ms=-1, cleanup_policy="delete", segment_bytes=1 << 20)
    time.sleep(0 if small else 20)
    records = many.read()
    print(f"      {len(records)} of them are committed and left", flush=True)
    check(all(number // CHUNK % 10 != 7 for _, number in records), "no aborted event is read by the other reader")

    def replayed(zone, low, high, name, *arguments):
        file = area.folder / f"{area.prefix}-{name}.ndjson"
        began = time.monotonic()
        done = area.replay("--from", low, "--to", high, "--time-zone", zone, *[word for topic in TOPICS for word in ("--type", topic)],
                           "--to-file", str(file), "--json", *arguments, limit=600)
        took = time.monotonic() - began
        numbers = []
        if file.exists():
            with open(file, encoding="utf-8") as lines:
                numbers = [int(json.loads(line)["headers"]["ce_id"]) for line in lines]
        return done, numbers, took

    def at(zone, text):
        return milliseconds(datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)))

    def inside(zone, low, high):
        first, last = at(zone, low), at(zone, high)
        return sorted(number for time_, number in records if first <= time_ < last)

    for index, (zone, low, high) in enumerate(windows_of(sunday, many.chance, number_of_windows)):
        if index == number_of_windows // 2:
            many.delete(0.05)
            records = many.read()
        wanted = inside(zone, low, high)
        done, numbers, took = replayed(zone, low, high, index)
        # Where a clock that was ahead wrote the first record that is left, what was deleted before it may be of the window. And as
        # long as files of deleted records are there, Kafka's time index finds nothing: then the window counts as cut, too.
        is_cut = any(first >= at(zone, low) for first in many.firsts)
        codes = (DELETED,) if is_cut else (DONE,) if index < number_of_windows // 2 else (DONE, DELETED)
        check(done.returncode in codes, f"window {index}: complete, unless records of it may be deleted", shown(done))
        check(sorted(numbers) == wanted and wanted, f"window {index} is exact: {zone}, {low} to {high}",
              f"{len(numbers)} of {len(wanted)} {shown(done)}")
        print(f"      {zone} {low} to {high}: {len(wanted)} of {len(records)} records, {took:.1f} s", flush=True)
    # Retention has moved into a window.
    many.delete(0.5)
    records = many.read()
    low, high = str(sunday - datetime.timedelta(1)), str(sunday + datetime.timedelta(2))
    done, numbers, _ = replayed(ZONES[0], low, high, "deleted")
    check(done.returncode == DELETED and said(done, "have been deleted") and sorted(numbers) == inside(ZONES[0], low, high),
          "a window that retention has cut is reported", shown(done))
    done, numbers, _ = replayed(ZONES[0], low, high, "left", "--skip-deleted")
    check(done.returncode == DONE and sorted(numbers) == inside(ZONES[0], low, high), "and what is left of it is exact",
          f"{len(numbers)} of {len(inside(ZONES[0], low, high))} {shown(done)}")
    area.end()


SCENARIOS = (many_windows,)
