// The bare consume loop: what librdkafka gives to a program that does nothing with its records. The yardstick of the
// consumer library.
//
//     consume BOOTSTRAP TOPIC PARTITIONS COUNT
//
// Reads COUNT records from the beginning and prints one line of JSON: seconds between the first record and the last, CPU
// seconds of the process meanwhile, records.
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: consume BOOTSTRAP TOPIC PARTITIONS COUNT\n");
        return 2;
    }
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], text, sizeof text);
    rd_kafka_conf_set(conf, "group.id", "bench-bare", text, sizeof text);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", text, sizeof text);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!consumer) {
        fprintf(stderr, "consume: %s\n", text);
        return 1;
    }
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(atoi(argv[3]));
    for (int i = 0; i < atoi(argv[3]); i++)
        rd_kafka_topic_partition_list_add(partitions, argv[2], i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, partitions);
    long wanted = atol(argv[4]), count = 0;
    double began = 0, beganCPU = 0, deadline = now() + 120;
    size_t bytes = 0;
    while (count < wanted && now() < deadline) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (!message) continue;
        if (!message->err) {
            if (count++ == 0) {
                began = now();
                beganCPU = cpu();
            }
            bytes += message->len;
        }
        rd_kafka_message_destroy(message);
    }
    printf("{\"seconds\": %f, \"cpu\": %f, \"records\": %ld, \"bytes\": %zu}\n", now() - began, cpu() - beganCPU, count, bytes);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return count == wanted ? 0 : 1;
}
