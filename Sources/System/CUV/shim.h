// libuv for Swift. Only what its headers, or Glibc's as Swift imports them, do not offer by themselves is wrapped here.
#pragma once
#include <sys/socket.h>
#include <uv.h>

#if defined(__linux__)
// Declared here because the system headers show it only under _GNU_SOURCE, which an importer of a module cannot set.
extern int accept4(int, struct sockaddr *, socklen_t *, int);

/// Accepts a connection that neither blocks nor is inherited by a child process.
static inline int cuv_accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
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
#endif
