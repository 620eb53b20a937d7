/* What the HTTP load generators share: the clock, random numbers, connections to loopback, and where an answer ends.
 * Included by Benchmarks/load.c (latency) and Tests/Chaos/load.c (a ledger of every event). */
#ifndef BENCHMARKS_CLIENT_H
#define BENCHMARKS_CLIENT_H
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t next_random(uint64_t *seed) { /* splitmix64 */
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A connected socket without Nagle's delay, or -1 and errno. A connect or send that takes longer than 5 s fails. */
static inline int connect_loopback(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval longest = {.tv_sec = 5};
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* epoll to the nanosecond where the kernel can; else to the millisecond, spinning through the last one. */
static inline int wait_ready(int ep, struct epoll_event *ready, int size, uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    int n = epoll_pwait2(ep, ready, size, &t, NULL);
    return n < 0 && errno == ENOSYS ? epoll_wait(ep, ready, size, (int)(ns / 1000000u)) : n;
}

/* 1: a whole answer, 0: more to come, -1: broken. `reply` has room for `size` bytes, of which `have` are filled. */
static inline int whole_answer(char *reply, int have, int size, int *status) {
    reply[have] = 0;
    char *end = strstr(reply, "\r\n\r\n"), *length;
    if (!end) return have < size - 1 ? 0 : -1;
    if (sscanf(reply, "HTTP/1.%*d %d", status) != 1) return -1;
    length = strcasestr(reply, "\r\ncontent-length:");
    long content = length && length < end ? atol(length + 17) : 0;
    return have >= (end + 4 - reply) + content;
}
#endif
