// Calls of the system that Swift does not see: glibc declares them only under _GNU_SOURCE, which a module cannot set for
// itself, or not in the headers of its Swift module.
#pragma once
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(__APPLE__)
static inline void csystem_set_thread_name(const char *name) { pthread_setname_np(name); }
static inline long csystem_file_system_type(const char *path) { (void)path; return 0; }
static inline long csystem_peer_user(int descriptor) {
    uid_t user;
    gid_t group;
    return getpeereid(descriptor, &user, &group) == 0 ? (long)user : -1;
}
#else
#include <sys/vfs.h>
extern int pthread_setname_np(pthread_t thread, const char *name);
/// Linux keeps 15 bytes of a name and refuses a longer one.
static inline void csystem_set_thread_name(const char *name) { (void)pthread_setname_np(pthread_self(), name); }
/// The magic number of the file system that a path is on (statfs(2)); 0 when it cannot be told.
static inline unsigned csystem_file_system_type(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 ? (unsigned)status.f_type : 0;
}
/// The user at the other end of a Unix socket (unix(7), SO_PEERCRED); -1 when it cannot be told.
static inline long csystem_peer_user(int descriptor) {
    struct { pid_t process; uid_t user; gid_t group; } peer;
    socklen_t size = sizeof peer;
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? (long)peer.user : -1;
}
#endif

#if defined(__APPLE__)
static inline int csystem_clock_is_synchronized(void) { return -1; }
#else
#include <sys/timex.h>
/// Whether the kernel's clock is synchronised (adjtimex(2)): 1 or 0, -1 when it cannot be told.
static inline int csystem_clock_is_synchronized(void) {
    struct timex state = {0};
    int result = adjtimex(&state);
    if (result < 0) return -1;
    return result != TIME_ERROR && !(state.status & STA_UNSYNC);
}
#endif

#include <errno.h>
#include <signal.h>
/// The pipe of the signal handler. Only SignalWatch.swift uses what is here: every file would have a copy of its own.
static volatile int csystem_signal_pipe = -1;
static inline void csystem_signal_handler(int number) {
    int error = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t written = write(csystem_signal_pipe, &byte, 1);
    (void)written;
    errno = error;
}
/// Writes a byte with its number to a descriptor whenever a signal arrives. 0, or -1 and errno.
static inline int csystem_watch_signal(int number, int descriptor, struct sigaction *before) {
    struct sigaction action;
    csystem_signal_pipe = descriptor;
    action.sa_handler = csystem_signal_handler;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    return sigaction(number, &action, before);
}
