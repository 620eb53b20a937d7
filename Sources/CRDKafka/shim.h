// librdkafka for Swift. Only what its headers do not import by themselves is wrapped here: the variadic produce call
// and macros with casts.
#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

/// Any partition: the partitioner decides (RD_KAFKA_PARTITION_UA is a macro with a cast).
static const int32_t crdkafka_partition_unassigned = RD_KAFKA_PARTITION_UA;

/// `rd_kafka_producev` with the arguments of a record; key, value and headers are copied by librdkafka.
///
/// A NULL key or value is Kafka's null; a pointer with length 0 is an empty one. `headers` passes to librdkafka when the
/// call succeeds and stays the caller's when it fails.
static inline rd_kafka_resp_err_t crdkafka_produce(rd_kafka_t *client, rd_kafka_topic_t *topic, int32_t partition,
                                                   const void *key, size_t key_size, const void *value,
                                                   size_t value_size, int64_t timestamp, rd_kafka_headers_t *headers,
                                                   void *opaque) {
    if (headers)
        return rd_kafka_producev(client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_size),
                                 RD_KAFKA_V_VALUE((void *)value, value_size), RD_KAFKA_V_TIMESTAMP(timestamp),
                                 RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    return rd_kafka_producev(client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_size),
                             RD_KAFKA_V_VALUE((void *)value, value_size), RD_KAFKA_V_TIMESTAMP(timestamp),
                             RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
}
