/* Preloaded into the bridge: faults of the spool's disk and of the clock, switched while the process runs.
 *
 * CHAOS_FAULTS names the control file: the struct below, mapped by this process and by the test that writes it (faults.py
 * has the same list of fields). CHAOS_SPOOL is the folder whose files are affected; nothing else is. A field that is 0
 * injects nothing.
 *
 * - Disk: writes, reads and syncs fail with an errno, take a time, or hang until the field is 0 again. With `quota_bytes`,
 *   a write that would allocate space beyond that many bytes of the folder fails with EDQUOT, as a project quota does:
 *   overwriting works, and deleting a file frees its share.
 * - Clock: `clock_offset_ns` is added to CLOCK_REALTIME. Absolute timeouts are converted back, because the kernel's own
 *   clock is not changed. `clock_status` is what adjtimex reports. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

struct faults {
    _Atomic int64_t sync_delay_ms, sync_errno;
    _Atomic int64_t write_errno, write_hang; /* hang: also syncs, and calls that create, extend or delete files */
    _Atomic int64_t read_errno, read_hang;   /* hang: also opening files */
    _Atomic int64_t quota_bytes;
    _Atomic int64_t clock_offset_ns;
    _Atomic int64_t clock_status; /* 0: the kernel's; 1: synchronized; 2: not synchronized */
    _Atomic int64_t hits;         /* calls that failed or were held up, counted here */
};

static struct faults none, *faults = &none;
static char folder[4096];
static size_t folder_length;

/* Whether a descriptor is one of the spool's files: 0 not known yet, 1 yes, 2 no. */
enum { DESCRIPTORS = 1 << 16 };
static _Atomic unsigned char known[DESCRIPTORS];

__attribute__((constructor)) static void map_control(void) {
    const char *control = getenv("CHAOS_FAULTS"), *spool = getenv("CHAOS_SPOOL");
    if (!control || !spool || !realpath(spool, folder)) return;
    folder_length = strlen(folder);
    int fd = open(control, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) faults = map;
}

/* The next definition of a function, looked up once. */
#define REAL(type, name, parameters)                                                  \
    static type(*real) parameters;                                                    \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

static int is_below_folder(const char *path) {
    return folder_length && !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

static int is_spool(int fd) {
    if (fd < 0 || fd >= DESCRIPTORS || !folder_length) return 0;
    if (!known[fd]) {
        char link[32], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n > 0 ? n : 0] = 0;
        known[fd] = is_below_folder(path) ? 1 : 2;
    }
    return known[fd] == 1;
}

static void forget(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) known[fd] = 0;
}

static void wait_while(_Atomic int64_t *flag) {
    const struct timespec moment = {.tv_nsec = 2000000};
    if (!*flag) return;
    faults->hits++;
    while (*flag) nanosleep(&moment, NULL);
}

/* Whether a call fails now; errno is set. */
static int fails(int64_t error) {
    if (!error) return 0;
    faults->hits++;
    errno = (int)error;
    return 1;
}

static int64_t allocated(void) {
    int64_t total = 0;
    DIR *files = opendir(folder);
    if (!files) return 0;
    for (struct dirent *entry; (entry = readdir(files));) {
        struct stat status;
        if (!fstatat(dirfd(files), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) && S_ISREG(status.st_mode))
            total += status.st_blocks * 512;
    }
    closedir(files);
    return total;
}

/* Whether allocating up to this end of the file would exceed the quota. */
static int exceeds_quota(int fd, int64_t end) {
    struct stat status;
    int64_t quota = faults->quota_bytes;
    if (!quota || fstat(fd, &status)) return 0;
    int64_t needed = end - status.st_blocks * 512;
    return needed > 0 && allocated() + needed > quota && fails(EDQUOT);
}

static int write_fails(int fd, int64_t end) {
    wait_while(&faults->write_hang);
    return fails(faults->write_errno) || exceeds_quota(fd, end);
}

/* ---- the disk */

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(ssize_t, write, (int, const void *, size_t));
    if ((faults->write_errno || faults->write_hang || faults->quota_bytes) && is_spool(fd) &&
        write_fails(fd, lseek(fd, 0, SEEK_CUR) + (int64_t)size))
        return -1;
    return real(fd, bytes, size);
}

#define PWRITE(name, offset_type)                                                                           \
    ssize_t name(int fd, const void *bytes, size_t size, offset_type offset) {                              \
        REAL(ssize_t, name, (int, const void *, size_t, offset_type));                                      \
        if ((faults->write_errno || faults->write_hang || faults->quota_bytes) && is_spool(fd) &&           \
            write_fails(fd, offset + (int64_t)size))                                                        \
            return -1;                                                                                      \
        return real(fd, bytes, size, offset);                                                               \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define FTRUNCATE(name, offset_type)                                                                        \
    int name(int fd, offset_type size) {                                                                    \
        REAL(int, name, (int, offset_type));                                                                \
        if ((faults->write_errno || faults->write_hang) && is_spool(fd) && write_fails(fd, 0)) return -1;   \
        return real(fd, size);                                                                              \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

/* Returns the error instead of setting errno. */
#define FALLOCATE(name, offset_type)                                                                        \
    int name(int fd, offset_type offset, offset_type size) {                                                \
        REAL(int, name, (int, offset_type, offset_type));                                                   \
        if ((faults->write_errno || faults->write_hang || faults->quota_bytes) && is_spool(fd) &&           \
            write_fails(fd, offset + size))                                                                 \
            return errno;                                                                                   \
        return real(fd, offset, size);                                                                      \
    }
FALLOCATE(posix_fallocate, off_t)
FALLOCATE(posix_fallocate64, off64_t)

int unlink(const char *path) {
    REAL(int, unlink, (const char *));
    if (faults->write_hang && is_below_folder(path)) wait_while(&faults->write_hang);
    return real(path);
}

int rename(const char *old, const char *new) {
    REAL(int, rename, (const char *, const char *));
    if (faults->write_hang && is_below_folder(old)) wait_while(&faults->write_hang);
    return real(old, new);
}

ssize_t read(int fd, void *bytes, size_t size) {
    REAL(ssize_t, read, (int, void *, size_t));
    if ((faults->read_errno || faults->read_hang) && is_spool(fd)) {
        wait_while(&faults->read_hang);
        if (fails(faults->read_errno)) return -1;
    }
    return real(fd, bytes, size);
}

#define PREAD(name, offset_type)                                                  \
    ssize_t name(int fd, void *bytes, size_t size, offset_type offset) {          \
        REAL(ssize_t, name, (int, void *, size_t, offset_type));                  \
        if ((faults->read_errno || faults->read_hang) && is_spool(fd)) {          \
            wait_while(&faults->read_hang);                                       \
            if (fails(faults->read_errno)) return -1;                             \
        }                                                                         \
        return real(fd, bytes, size, offset);                                     \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define SYNC(name)                                                                                              \
    int name(int fd) {                                                                                          \
        REAL(int, name, (int));                                                                                 \
        if ((faults->sync_errno || faults->sync_delay_ms || faults->write_hang) && is_spool(fd)) {              \
            int64_t delay = faults->sync_delay_ms;                                                              \
            const struct timespec time = {.tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000};           \
            if (delay) {                                                                                        \
                faults->hits++;                                                                                 \
                nanosleep(&time, NULL);                                                                         \
            }                                                                                                   \
            wait_while(&faults->write_hang);                                                                    \
            if (fails(faults->sync_errno)) return -1;                                                           \
        }                                                                                                       \
        return real(fd);                                                                                        \
    }
SYNC(fsync)
SYNC(fdatasync)

static void before_open(const char *path, int flags) {
    if (!is_below_folder(path)) return;
    wait_while(&faults->read_hang);
    if (flags & O_CREAT) wait_while(&faults->write_hang);
}

#define OPEN(name)                                                                                     \
    int name(const char *path, int flags, ...) {                                                       \
        REAL(int, name, (const char *, int, ...));                                                     \
        va_list rest;                                                                                  \
        va_start(rest, flags);                                                                         \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                      \
        va_end(rest);                                                                                  \
        before_open(path, flags);                                                                      \
        int fd = real(path, flags, mode);                                                              \
        forget(fd);                                                                                    \
        return fd;                                                                                     \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                   \
    int name(int at, const char *path, int flags, ...) {                                               \
        REAL(int, name, (int, const char *, int, ...));                                                \
        va_list rest;                                                                                  \
        va_start(rest, flags);                                                                         \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                      \
        va_end(rest);                                                                                  \
        before_open(path, flags);                                                                      \
        int fd = real(at, path, flags, mode);                                                          \
        forget(fd);                                                                                    \
        return fd;                                                                                     \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(int, close, (int));
    forget(fd);
    return real(fd);
}

/* ---- the clock */

static void shift(struct timespec *time, int64_t by) {
    int64_t nanoseconds = time->tv_nsec + by % 1000000000;
    time->tv_sec += by / 1000000000;
    if (nanoseconds < 0) nanoseconds += 1000000000, time->tv_sec--;
    if (nanoseconds >= 1000000000) nanoseconds -= 1000000000, time->tv_sec++;
    time->tv_nsec = nanoseconds;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(int, clock_gettime, (clockid_t, struct timespec *));
    int result = real(clock, time);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(time, faults->clock_offset_ns);
    return result;
}

int gettimeofday(struct timeval *restrict value, void *restrict zone) {
    struct timespec now;
    (void)zone; /* obsolete */
    clock_gettime(CLOCK_REALTIME, &now);
    *value = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, time) ? base : 0;
}

/* Times of CLOCK_MONOTONIC, which some conditions use, are small: they count from the start of the machine. */
static const struct timespec *kernels(const struct timespec *until, struct timespec *room) {
    if (!until || until->tv_sec < 1000000000) return until;
    *room = *until;
    shift(room, -faults->clock_offset_ns);
    return room;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    REAL(int, cnd_timedwait, (cnd_t *, mtx_t *, const struct timespec *));
    struct timespec room;
    return real(condition, mutex, kernels(until, &room));
}

int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict until) {
    REAL(int, mtx_timedlock, (mtx_t *, const struct timespec *));
    struct timespec room;
    return real(mutex, kernels(until, &room));
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec room;
    /* The oldest version of this symbol, on some machines, expects a condition of another size. */
    if (!real) *(void **)&real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return real(condition, mutex, kernels(until, &room));
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
                           const struct timespec *restrict until) {
    REAL(int, pthread_cond_clockwait, (pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *));
    struct timespec room;
    return real(condition, mutex, clock, clock == CLOCK_REALTIME ? kernels(until, &room) : until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    REAL(int, pthread_mutex_timedlock, (pthread_mutex_t *, const struct timespec *));
    struct timespec room;
    return real(mutex, kernels(until, &room));
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    REAL(int, sem_timedwait, (sem_t *, const struct timespec *));
    struct timespec room;
    return real(semaphore, kernels(until, &room));
}

static int with_status(struct timex *values, int result) {
    int64_t status = faults->clock_status;
    if (result < 0 || !status) return result;
    if (status == 1) values->status &= ~(STA_UNSYNC | STA_CLOCKERR);
    else values->status |= STA_UNSYNC;
    return status == 1 ? TIME_OK : TIME_ERROR;
}

int adjtimex(struct timex *values) {
    REAL(int, adjtimex, (struct timex *));
    return with_status(values, real(values));
}

int ntp_adjtime(struct timex *values) {
    REAL(int, ntp_adjtime, (struct timex *));
    return with_status(values, real(values));
}

int clock_adjtime(clockid_t clock, struct timex *values) {
    REAL(int, clock_adjtime, (clockid_t, struct timex *));
    int result = real(clock, values);
    return clock == CLOCK_REALTIME ? with_status(values, result) : result;
}
