/* Makes sure that a topic exists with a number of partitions: `topic BOOTSTRAP NAME PARTITIONS`. Waits until every
 * partition has a leader, so that what is measured next does not measure an election. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char e[512];
    if (argc != 4) return fprintf(stderr, "usage: topic BOOTSTRAP NAME PARTITIONS\n"), 2;
    int wanted = atoi(argv[3]);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], e, sizeof e)) return fprintf(stderr, "%s\n", e), 1;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, e, sizeof e);
    if (!rk) return fprintf(stderr, "%s\n", e), 1;
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(argv[2], wanted, 1, e, sizeof e);
    if (!topic) return fprintf(stderr, "%s\n", e), 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (!event || rd_kafka_event_error(event)) return fprintf(stderr, "%s\n", event ? rd_kafka_event_error_string(event) : "no answer"), 1;
    size_t n;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    rd_kafka_resp_err_t error = n ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
    if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return fprintf(stderr, "%s\n", rd_kafka_err2str(error)), 1;
    rd_kafka_event_destroy(event);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, argv[2], NULL);
    int have = 0;
    for (int turn = 0; turn < 300; turn++, usleep(100000)) {
        const struct rd_kafka_metadata *metadata;
        if (rd_kafka_metadata(rk, 0, handle, &metadata, 5000)) continue;
        int led = 0;
        have = metadata->topic_cnt ? metadata->topics[0].partition_cnt : 0;
        for (int p = 0; p < have; p++) led += metadata->topics[0].partitions[p].leader >= 0;
        rd_kafka_metadata_destroy(metadata);
        if (have && led == have) break;
    }
    rd_kafka_topic_destroy(handle);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_destroy(rk);
    if (have != wanted) return fprintf(stderr, "topic %s has %d partitions, wanted %d\n", argv[2], have, wanted), 1;
    return 0;
}
