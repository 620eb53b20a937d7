/* Open-loop HTTP load: a fixed schedule, N keep-alive connections, latency counted from the scheduled time.
 *
 *   load PORT PATH --rate 2000 --seconds 10 [--connections 64] [--warmup 2] [--header 'Name: value'] [--seed 1]
 *
 * Request i is due at start + i / rate, whether or not earlier ones were answered: a server that stalls is charged for
 * everything that had to wait, which a closed loop (wrk, ab) leaves out ("coordinated omission"). A request that finds
 * every connection busy waits in line and keeps its due time. The body is the vendor's V2 POST, 163 bytes, with a number
 * out of 10,000 and a reference that never repeats. Prints one line of JSON.
 *
 * Latency goes into a histogram with 128 linear steps per power of two: at most 0.8 % off.
 * One thread; time by epoll_pwait2 (ns) where the kernel has it, else by spinning through the last millisecond. */
#define _GNU_SOURCE
#include "client.h"
#include <signal.h>

enum { SUB = 128, SUB_BITS = 7, BUCKETS = SUB * 58, REPLY = 4096 };

typedef struct connection {
    int fd, busy, have;
    uint64_t due;
    char reply[REPLY];
} connection;

static uint64_t histogram[BUCKETS], counted, total_ns, greatest;
static uint64_t answered, refused, failed, late_starts;
static const char *path, *header = "";
static uint16_t port;
static uint64_t seed = 1;

static int bucket_of(uint64_t ns) {
    if (ns < SUB) return (int)ns;
    int shift = 63 - __builtin_clzll(ns) - SUB_BITS;
    int index = ((shift + 1) << SUB_BITS) + (int)((ns >> shift) - SUB);
    return index < BUCKETS ? index : BUCKETS - 1;
}

static double middle_of(int index) {
    if (index < SUB) return index;
    int shift = (index >> SUB_BITS) - 1;
    return (double)(((uint64_t)(index & (SUB - 1)) + SUB) << shift) + (double)((uint64_t)1 << shift) / 2;
}

static double percentile(double p) {
    uint64_t want = (uint64_t)(p / 100 * (double)counted + 0.5), seen = 0;
    if (want < 1) want = 1;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += histogram[i]) >= want) return middle_of(i);
    return (double)greatest;
}

static void record(uint64_t ns) {
    histogram[bucket_of(ns)]++;
    counted++;
    total_ns += ns;
    if (ns > greatest) greatest = ns;
}

static int open_connection(void) {
    int fd = connect_loopback(port);
    if (fd < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static void send_request(connection *c) {
    char body[256], request[2048];
    uint64_t r = next_random(&seed);
    int bl = snprintf(body, sizeof body,
        "{\"Status\":\"DELIVRD\",\"EventId\":1179504595,\"Mcc\":655,\"Mnc\":\"01\",\"MsgCount\":1,\"Msisdn\":\"2782000%04u\","
        "\"Received\":1530013907,\"UserReference\":\"%016llx%08x\"}",
        (unsigned)(r % 10000), (unsigned long long)next_random(&seed), (unsigned)(r >> 32));
    int n = snprintf(request, sizeof request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, header, bl, body);
    c->busy = 1;
    c->have = 0;
    if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n) { /* small: a socket buffer takes it whole or is broken */
        failed++;
        close(c->fd);
        c->fd = -1;
    }
}

int main(int argc, char **argv) {
    double rate = 2000, seconds = 10, warmup = 2;
    int connections = 64;
    static char headers[1024];
    if (argc < 3) {
        fprintf(stderr, "usage: load PORT PATH [--rate N] [--seconds N] [--warmup N] [--connections N] [--header 'Name: value'] [--seed N]\n");
        return 2;
    }
    port = (uint16_t)atoi(argv[1]);
    path = argv[2];
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--rate")) rate = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--seconds")) seconds = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--warmup")) warmup = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--connections")) connections = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seed")) seed = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--header")) snprintf(headers, sizeof headers, "%s\r\n", argv[i + 1]), header = headers;
        else {
            fprintf(stderr, "load: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    if (rate <= 0 || seconds <= 0 || warmup < 0 || connections < 1) {
        fprintf(stderr, "load: rate, seconds and connections must be positive\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int ep = epoll_create1(0);
    connection *all = calloc((size_t)connections, sizeof *all), **idle = calloc((size_t)connections, sizeof *idle);
    int idles = 0;
    for (int i = 0; i < connections; i++) {
        all[i].fd = open_connection();
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &e);
        idle[idles++] = &all[i];
    }

    double interval = 1e9 / rate;
    uint64_t requests = (uint64_t)((seconds + warmup) * rate), sent = 0, done = 0;
    uint64_t start = now_ns() + 1000000, measured_from = start + (uint64_t)(warmup * 1e9);
    uint64_t give_up = start + (uint64_t)((seconds + warmup + 15) * 1e9), last_answer = start;
    struct epoll_event ready[256];
    while (done + failed < requests) {
        uint64_t now = now_ns();
        if (now > give_up) break;
        uint64_t due = start + (uint64_t)((double)sent * interval);
        while (sent < requests && due <= now && idles) {
            connection *c = idle[--idles];
            if (now - due > 1000000) late_starts++; /* the generator itself, or every connection, was busy */
            c->due = due;
            send_request(c);
            sent++;
            if (c->fd < 0) {
                c->busy = 0;
                c->fd = open_connection();
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
                idle[idles++] = c;
            }
            due = start + (uint64_t)((double)sent * interval);
        }
        /* Sleep until something is readable or the next request is due; without an idle connection only the first. */
        now = now_ns();
        uint64_t wait = sent < requests && idles ? (due > now ? due - now : 0) : 100000000;
        int n = wait_ready(ep, ready, 256, wait);
        for (int i = 0; i < n; i++) {
            connection *c = ready[i].data.ptr;
            ssize_t r = recv(c->fd, c->reply + c->have, (size_t)(REPLY - 1 - c->have), 0);
            int status = 0, whole = -1;
            if (r > 0) c->have += (int)r, whole = c->busy ? whole_answer(c->reply, c->have, REPLY, &status) : -1;
            if (whole == 0) continue;
            if (whole < 0) { /* broken, or closed */
                if (c->busy) failed++;
                int was_busy = c->busy;
                close(c->fd);
                c->busy = 0;
                c->fd = open_connection();
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
                if (was_busy) idle[idles++] = c;
                continue;
            }
            last_answer = now_ns();
            done++;
            if (status == 200) answered++; else refused++;
            if (c->due >= measured_from && status == 200) record(last_answer - c->due);
            c->busy = 0;
            idle[idles++] = c;
        }
    }
    uint64_t unanswered = requests - done - failed;
    double took = (double)(last_answer - start) / 1e9;
    printf("{\"rate\": %.0f, \"reached\": %.1f, \"requests\": %llu, \"ok\": %llu, \"refused\": %llu, \"failed\": %llu, \"unanswered\": %llu, "
           "\"late_starts\": %llu, \"measured\": %llu, \"mean_ms\": %.4f, \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, "
           "\"p999_ms\": %.4f, \"max_ms\": %.4f}\n",
        rate, (double)done / took, (unsigned long long)requests, (unsigned long long)answered, (unsigned long long)refused,
        (unsigned long long)failed, (unsigned long long)unanswered, (unsigned long long)late_starts, (unsigned long long)counted,
        counted ? (double)total_ns / (double)counted / 1e6 : 0, percentile(50) / 1e6, percentile(90) / 1e6, percentile(99) / 1e6,
        percentile(99.9) / 1e6, (double)greatest / 1e6);
    return failed || unanswered || refused;
}
