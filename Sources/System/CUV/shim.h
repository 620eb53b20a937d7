// libuv for Swift. Only what its headers, or Glibc's as Swift imports them, do not offer by themselves is wrapped here.
#pragma once
#include <sys/socket.h>
#include <uv.h>

#if defined(__linux__)
#include <linux/filter.h>

// Declared here because the system headers show it only under _GNU_SOURCE, which an importer of a module cannot set.
extern int accept4(int, struct sockaddr *, socklen_t *, int);

/// Accepts a connection that neither blocks nor is inherited by a child process.
static inline int cuv_accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/// Drops what would begin a connection to a listening socket, and lets handshakes that are under way be completed.
static inline int cuv_drop_syns(int listener) {
    // Byte 13 of the TCP header holds the flags: SYN without ACK is dropped, all else taken whole.
    struct sock_filter code[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 13},
        {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x12},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x02},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, 0xFFFFFFFF},
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}
#else
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/// Accepts a connection that neither blocks nor is inherited by a child process.
static inline int cuv_accept(int listener, struct sockaddr *address, socklen_t *length) {
    int descriptor = accept(listener, address, length);
    if (descriptor < 0) return descriptor;
    int flags = fcntl(descriptor, F_GETFL, 0);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0) {
        int error = errno;
        close(descriptor);
        errno = error;
        return -1;
    }
    return descriptor;
}

/// There is no such filter here: connections go on being taken.
static inline int cuv_drop_syns(int listener) {
    (void)listener;
    return -1;
}
#endif
