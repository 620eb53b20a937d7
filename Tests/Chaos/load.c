/* Open-loop callbacks with a ledger: what was sent, when, and what came back, one row an event.
 *
 *   load PORT --ledger FILE --progress FILE --run HEX8 --rate N --seconds N [--connections 64] [--numbers 10]
 *        [--topics delivery-status,reply,…] [--pad BYTES] [--keyless 1] [--count N] [--timeout 12] [--header 'Name: value'] [--seed 1]
 *
 * Event i is due at start + i / rate. It goes out on whichever keep-alive connection has been idle longest, for one of
 * the phone numbers that this connection alone uses: so the events of a number are sent one after the other, each when
 * the one before has its answer, and their order is known. An event that finds no connection for a second is shed: it
 * was never sent, and only counted. A connection that breaks is made again; what was on it is in the ledger as broken,
 * for nobody knows whether it arrived. SIGTERM ends the sending, not the waiting for answers.
 *
 * With --count it ends after so many events. The reference of an event is c<run>-<number>-<sequence>: it never repeats. With --keyless an event has a name where its
 * number would be, so that its record has no key.
 *
 * The ledger's row, little-endian, 40 bytes: number u32, sequence u32, topic u8, flags u8 (1: Retry-After), status u16,
 * end u32 (0 answered, 1 connection ended, 2 no answer in time, 3 still open at the end, 4 not what the contract says,
 * 5 could not be sent whole), due u64, sent u64, answered u64 (ns of CLOCK_MONOTONIC; 0: never).
 * The progress file: seven u64 that others may map: sent, 200, 503, other answers, broken, waiting, connected. */
#define _GNU_SOURCE
#include "../../Benchmarks/client.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

enum { REPLY = 4096, TOPICS = 5, NONE = 0, CLOSED = 1, LATE = 2, OPEN = 3, WRONG = 4, UNSENT = 5 };
static const char *const topic_names[TOPICS] = {"delivery-status", "reply", "short-code", "url-preview", "url-click"};

typedef struct row {
    uint32_t number, sequence;
    uint8_t topic, flags;
    uint16_t status;
    uint32_t end;
    uint64_t due, sent, answered;
} row;
_Static_assert(sizeof(row) == 40, "the ledger's format");

typedef struct connection {
    int fd, busy, have;
    uint64_t retry_at;
    row now;
    char reply[REPLY];
} connection;

struct progress {
    uint64_t sent, ok, unavailable, other, broken, waiting, connected;
};

static struct progress *progress;
static FILE *ledger;
static connection *all;
static uint32_t *sequences;
static int *idle, idle_head, idle_count, connections = 64, numbers = 10, keyless, topic_count, topics[TOPICS], ep;
static uint64_t count = UINT64_MAX;
static uint64_t seed = 1, shed, unreachable, worst_lag;
static uint32_t run;
static uint16_t port;
static char header[512], *pad;
static volatile sig_atomic_t stopping;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static void enqueue_idle(int index) {
    idle[(idle_head + idle_count++) % connections] = index;
}

static void dial(int index) {
    connection *c = &all[index];
    c->busy = c->have = 0;
    c->fd = connect_loopback(port);
    if (c->fd < 0) {
        unreachable++;
        c->retry_at = now_ns() + 20000000;
        return;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
    progress->connected++;
    enqueue_idle(index);
}

/* Ends the connection; the next turn of the loop makes a new one. */
static void hang_up(connection *c) {
    close(c->fd);
    c->fd = -1;
    c->retry_at = 0;
    progress->connected--;
}

static void enter(connection *c, uint32_t end, int status) {
    c->now.end = end;
    c->now.status = (uint16_t)status;
    fwrite(&c->now, sizeof c->now, 1, ledger);
    c->busy = 0;
    progress->waiting--;
    if (end != NONE) progress->broken++;
    else if (status == 200) progress->ok++;
    else if (status == 503) progress->unavailable++;
    else progress->other++;
}

static void send_event(int index, uint64_t due) {
    connection *c = &all[index];
    static char body[1 << 20], request[(1 << 20) + 1024];
    uint64_t r = next_random(&seed);
    uint32_t slot = (uint32_t)index * (uint32_t)numbers + (uint32_t)(r % (uint64_t)numbers), sequence = sequences[slot]++;
    int topic = topics[(r >> 32) % (uint64_t)topic_count], n = 0;
    long at = (long)time(NULL);
    char number[16], reference[48], id[24];
    if (keyless) strcpy(number, "anonymous");
    else snprintf(number, sizeof number, "27001%06u", slot);
    snprintf(reference, sizeof reference, "c%08x-%u-%u", run, slot, sequence);
    snprintf(id, sizeof id, "%llu", (((unsigned long long)run & 0x7fff) << 46 | (unsigned long long)slot << 24 | sequence) + 1);
    switch (topic) {
    case 0:
        n = snprintf(body, sizeof body, "{\"Status\":\"DELIVRD\",\"EventId\":1179504595,\"Mcc\":655,\"Mnc\":\"01\",\"MsgCount\":1,"
            "\"Msisdn\":\"%s\",\"Received\":%ld,\"UserReference\":\"%s\"%s}", number, at, reference, pad);
        break;
    case 1:
        n = snprintf(body, sizeof body, "{\"To\":\"40001\",\"Id\":%s,\"EventId\":4,\"Message\":\"Ja, m\xc3\xb4re\",\"Msisdn\":\"%s\","
            "\"Received\":%ld,\"UserReference\":\"%s\"%s}", id, number, at, reference, pad);
        break;
    case 2:
        n = snprintf(body, sizeof body, "{\"id\":%s,\"phoneNumber\":\"%s\",\"incomingData\":\"This is an SMS...\",\"mcc\":655,"
            "\"mnc\":\"01\",\"sc\":\"40001\",\"keyword\":\"someone\",\"incomingUtc\":%ld,\"customerId\":\"%s\"%s}", id, number, at, reference, pad);
        break;
    default:
        n = snprintf(body, sizeof body, "{\"phoneNumber\":\"%s\",\"customerId\":\"%s\",\"type\":\"%s\",\"interactionUtc\":%ld,"
            "\"landingPageName\":\"ExampleLandingTemplate\",\"landingPageVersion\":\"Version1\"%s}", number, reference,
            topic == 3 ? "PREVIEW" : "REDIRECT", at, pad);
    }
    int length = snprintf(request, sizeof request,
        "POST /webhooks/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        topic_names[topic], header, n, body);
    c->now = (row){.number = slot, .sequence = sequence, .topic = (uint8_t)topic, .due = due};
    c->busy = 1;
    c->have = 0;
    progress->sent++;
    progress->waiting++;
    /* Blocking, and small: a part of it goes out only when the other side is gone. */
    ssize_t out = send(c->fd, request, (size_t)length, MSG_NOSIGNAL);
    c->now.sent = now_ns();
    if (out != length) {
        enter(c, UNSENT, 0);
        hang_up(c);
    }
}

static void receive(int index) {
    connection *c = &all[index];
    if (c->fd < 0) return;
    ssize_t r = recv(c->fd, c->reply + c->have, (size_t)(REPLY - 1 - c->have), MSG_DONTWAIT);
    if (r < 0 && (errno == EAGAIN || errno == EINTR)) return;
    int status = 0, whole = -1;
    if (r > 0) c->have += (int)r, whole = c->busy ? whole_answer(c->reply, c->have, REPLY, &status) : -1;
    if (whole == 0) return;
    if (whole < 0) { /* ended, or bytes that nobody asked for */
        if (c->busy) {
            enter(c, r > 0 ? WRONG : CLOSED, 0);
        } else { /* it is somewhere in the line of the idle ones */
            for (int i = 0; i < idle_count; i++)
                if (idle[(idle_head + i) % connections] == index) {
                    idle[(idle_head + i) % connections] = idle[idle_head];
                    idle_head = (idle_head + 1) % connections;
                    idle_count--;
                    break;
                }
        }
        hang_up(c);
        return;
    }
    c->now.answered = now_ns();
    if (strcasestr(c->reply, "\r\nretry-after:")) c->now.flags |= 1;
    int closes = strcasestr(c->reply, "\r\nconnection: close") != NULL;
    enter(c, status == 200 && !strstr(c->reply, "\r\n\r\nTrue") ? WRONG : NONE, status);
    if (closes) hang_up(c);
    else enqueue_idle(index);
}

int main(int argc, char **argv) {
    double rate = 1000, seconds = 10, timeout = 12;
    const char *ledger_path = NULL, *progress_path = NULL;
    int pad_bytes = 0;
    if (argc >= 2) port = (uint16_t)atoi(argv[1]);
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *o = argv[i], *v = argv[i + 1];
        if (!strcmp(o, "--ledger")) ledger_path = v;
        else if (!strcmp(o, "--progress")) progress_path = v;
        else if (!strcmp(o, "--run")) run = (uint32_t)strtoul(v, NULL, 16);
        else if (!strcmp(o, "--rate")) rate = atof(v);
        else if (!strcmp(o, "--seconds")) seconds = atof(v);
        else if (!strcmp(o, "--timeout")) timeout = atof(v);
        else if (!strcmp(o, "--connections")) connections = atoi(v);
        else if (!strcmp(o, "--numbers")) numbers = atoi(v);
        else if (!strcmp(o, "--pad")) pad_bytes = atoi(v);
        else if (!strcmp(o, "--keyless")) keyless = atoi(v);
        else if (!strcmp(o, "--count")) count = strtoull(v, NULL, 10);
        else if (!strcmp(o, "--seed")) seed = strtoull(v, NULL, 10);
        else if (!strcmp(o, "--header")) snprintf(header, sizeof header, "%s\r\n", v);
        else if (!strcmp(o, "--topics")) {
            topic_count = 0;
            char *copy = strdup(v), *rest = copy;
            for (char *name = strsep(&rest, ","); name; name = strsep(&rest, ","))
                for (int t = 0; t < TOPICS; t++)
                    if (!strcmp(name, topic_names[t]) && topic_count < TOPICS) topics[topic_count++] = t;
            free(copy);
        } else {
            fprintf(stderr, "load: unknown option %s\n", o);
            return 2;
        }
    }
    if (!topic_count)
        for (int t = 0; t < TOPICS; t++) topics[topic_count++] = t;
    if (!port || !ledger_path || !progress_path || rate <= 0 || seconds <= 0 || connections < 1 || numbers < 1 ||
        (long)connections * numbers > 999999 || pad_bytes < 0 || pad_bytes > 200000) {
        fprintf(stderr, "load: see the head of Tests/Chaos/load.c for its arguments\n");
        return 2;
    }
    pad = calloc(1, (size_t)pad_bytes + 32);
    if (pad_bytes) {
        int n = sprintf(pad, ",\"Padding\":\"");
        memset(pad + n, 'x', (size_t)pad_bytes);
        strcpy(pad + n + pad_bytes, "\"");
    }
    int pf = open(progress_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (pf < 0 || ftruncate(pf, sizeof *progress)) {
        perror(progress_path);
        return 2;
    }
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED, pf, 0);
    ledger = fopen(ledger_path, "wb");
    if (progress == MAP_FAILED || !ledger) {
        perror(ledger_path);
        return 2;
    }
    setvbuf(ledger, NULL, _IOFBF, 1 << 20);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    ep = epoll_create1(0);
    all = calloc((size_t)connections, sizeof *all);
    idle = calloc((size_t)connections, sizeof *idle);
    sequences = calloc((size_t)connections * (size_t)numbers, sizeof *sequences);
    for (int i = 0; i < connections; i++) dial(i);

    double interval = 1e9 / rate;
    uint64_t start = now_ns(), until = start + (uint64_t)(seconds * 1e9), next = 0, looked = 0, finish = 0;
    struct epoll_event ready[512];
    for (;;) {
        uint64_t now = now_ns();
        int ends = stopping || now >= until || next >= count;
        if (ends && !finish) finish = now + (uint64_t)(timeout * 1e9);
        if (ends && (!progress->waiting || now > finish)) break;
        uint64_t due = start + (uint64_t)((double)next * interval);
        while (!ends && due <= now && idle_count && next < count) {
            int index = idle[idle_head];
            idle_head = (idle_head + 1) % connections;
            idle_count--;
            send_event(index, due);
            due = start + (uint64_t)((double)++next * interval);
        }
        while (due + 1000000000u < now && due < until) shed++, due = start + (uint64_t)((double)++next * interval);
        if (now - looked > 10000000) {
            looked = now;
            for (int i = 0; i < connections; i++) {
                connection *c = &all[i];
                if (c->busy && now > c->now.sent + (uint64_t)(timeout * 1e9)) enter(c, LATE, 0), hang_up(c);
                /* One that is refused stands for all: a dead server is asked once in 20 ms, not by each connection. */
                if (c->fd < 0 && !ends && c->retry_at <= now) {
                    dial(i);
                    if (c->fd < 0) break;
                }
            }
        }
        now = now_ns();
        uint64_t wait = ends || !idle_count ? 10000000 : due > now ? due - now : 0;
        if (wait > 10000000) wait = 10000000;
        int n = wait_ready(ep, ready, 512, wait);
        uint64_t woke = now_ns();
        if (n == 0 && woke - now > wait && woke - now - wait > worst_lag) worst_lag = woke - now - wait;
        for (int i = 0; i < n; i++) receive((int)ready[i].data.u32);
    }
    for (int i = 0; i < connections; i++)
        if (all[i].busy) enter(&all[i], OPEN, 0);
    int failed = fclose(ledger) != 0;
    printf("{\"sent\": %llu, \"ok\": %llu, \"unavailable\": %llu, \"other\": %llu, \"broken\": %llu, \"shed\": %llu, "
           "\"unreachable\": %llu, \"connected\": %llu, \"worst_lag_ms\": %.1f, \"seconds\": %.3f}\n",
        (unsigned long long)progress->sent, (unsigned long long)progress->ok, (unsigned long long)progress->unavailable,
        (unsigned long long)progress->other, (unsigned long long)progress->broken, (unsigned long long)shed,
        (unsigned long long)unreachable, (unsigned long long)progress->connected, (double)worst_lag / 1e6,
        (double)(now_ns() - start) / 1e9);
    return failed;
}
