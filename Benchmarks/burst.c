/* HTTP load in lock step: N keep-alive connections send one request each, all N answers are awaited, and so on.
 *
 *   burst PORT PATH --rounds 100 [--connections 64] [--header 'Name: value'] [--seed 1] [--stop PID]
 *
 * A server at saturation, without its chance: it finds every connection readable at once, however fast client, broker and
 * machine are. With --stop the server's process is stopped (SIGSTOP) while the requests are sent, so that it cannot see
 * half of them first. The requests are those of load.c. Prints one line of JSON. */
#define _GNU_SOURCE
#include "client.h"
#include <signal.h>
#include <sys/types.h>

enum { REPLY = 4096 };

typedef struct connection {
    int fd, have;
    char reply[REPLY];
} connection;

static int request_into(char *request, size_t size, const char *path, const char *header, uint64_t *seed) {
    char body[256];
    uint64_t r = next_random(seed);
    int bl = snprintf(body, sizeof body,
        "{\"Status\":\"DELIVRD\",\"EventId\":1179504595,\"Mcc\":655,\"Mnc\":\"01\",\"MsgCount\":1,\"Msisdn\":\"2782000%04u\","
        "\"Received\":1530013907,\"UserReference\":\"%016llx%08x\"}",
        (unsigned)(r % 10000), (unsigned long long)next_random(seed), (unsigned)(r >> 32));
    return snprintf(request, size,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, header, bl, body);
}

int main(int argc, char **argv) {
    int connections = 64;
    long rounds = 0;
    pid_t stop = 0;
    uint64_t seed = 1;
    const char *header = "";
    static char headers[1024];
    if (argc < 3) {
        fprintf(stderr, "usage: burst PORT PATH --rounds N [--connections N] [--header 'Name: value'] [--seed N] [--stop PID]\n");
        return 2;
    }
    uint16_t port = (uint16_t)atoi(argv[1]);
    const char *path = argv[2];
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--rounds")) rounds = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--connections")) connections = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seed")) seed = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--stop")) stop = (pid_t)atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--header")) snprintf(headers, sizeof headers, "%s\r\n", argv[i + 1]), header = headers;
        else {
            fprintf(stderr, "burst: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    if (rounds < 1 || connections < 1 || stop < 0) {
        fprintf(stderr, "burst: rounds and connections must be positive\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    connection *all = calloc((size_t)connections, sizeof *all);
    struct timeval longest = {.tv_sec = 60};
    for (int i = 0; i < connections; i++) {
        all[i].fd = connect_loopback(port);
        if (all[i].fd < 0 || setsockopt(all[i].fd, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest)) {
            perror("connect");
            return 1;
        }
    }
    unsigned long long answered = 0, refused = 0;
    uint64_t began = now_ns();
    for (long round = 0; round < rounds; round++) {
        if (stop && kill(stop, SIGSTOP)) {
            perror("stop");
            return 1;
        }
        int sent = 0;
        for (; sent < connections; sent++) {
            char request[2048];
            int n = request_into(request, sizeof request, path, header, &seed);
            if (send(all[sent].fd, request, (size_t)n, MSG_NOSIGNAL) != n) break;
        }
        if (stop && kill(stop, SIGCONT)) {
            perror("continue");
            return 1;
        }
        if (sent < connections) {
            fprintf(stderr, "burst: request %d could not be sent\n", sent);
            return 1;
        }
        for (int i = 0; i < connections; i++) {
            connection *c = &all[i];
            int status = 0, whole = 0;
            for (c->have = 0; whole == 0;) {
                ssize_t r = recv(c->fd, c->reply + c->have, (size_t)(REPLY - 1 - c->have), 0);
                if (r <= 0) {
                    fprintf(stderr, "burst: connection %d ended in round %ld\n", i, round);
                    return 1;
                }
                c->have += (int)r;
                whole = whole_answer(c->reply, c->have, REPLY, &status);
            }
            if (whole == 1 && status == 200) answered++; else refused++;
        }
    }
    printf("{\"rounds\": %ld, \"connections\": %d, \"ok\": %llu, \"refused\": %llu, \"seconds\": %.3f}\n", rounds, connections, answered,
        refused, (double)(now_ns() - began) / 1e9);
    return refused != 0;
}
