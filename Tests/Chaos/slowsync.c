/* Preloaded into the bridge: a disk that is slow to sync, or fails to. The file that CHAOS_SYNC names says how:
 * `delay 200` (milliseconds before each fsync and fdatasync), `fail` (they return EIO), anything else: as usual. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int sync_with(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char text[64] = "";
    const char *path = getenv("CHAOS_SYNC");
    int control = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (control >= 0) {
        ssize_t n = read(control, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        close(control);
    }
    if (!strncmp(text, "fail", 4)) {
        errno = EIO;
        return -1;
    }
    if (!strncmp(text, "delay ", 6)) {
        long ms = atol(text + 6);
        struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
        nanosleep(&t, NULL);
    }
    return real(fd);
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
