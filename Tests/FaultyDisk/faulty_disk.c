#define _GNU_SOURCE
#include "faulty_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, SECTOR = 512 };

// A file, by its inode: a rename does not change what is on the disk.
typedef struct node {
    struct node *next;
    dev_t device;
    ino_t inode;
    // Closed with the disk only: closing any descriptor of a file drops the process's locks on it.
    int descriptor;
    // What a loss of power leaves.
    unsigned char *durable;
    int64_t durable_size;
    unsigned char *dirty;
    int64_t dirty_pages;
} node;

struct smsbridge_disk {
    struct smsbridge_disk *next;
    char *folder;
    node *nodes;
    int operations, error;
    int64_t after, times;
    int64_t room;
    int room_error;
    int is_dead;
};

typedef struct {
    sqlite3_file base;
    smsbridge_disk *disk;
    node *node;
    sqlite3_file *real;
} file;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static smsbridge_disk *disks;
static sqlite3_vfs vfs;
static sqlite3_vfs *base_vfs;
static _Thread_local int last_error;

static file *of(sqlite3_file *f) { return (file *)f; }

// Whether an operation is to fail; the caller holds the lock.
static int fails(smsbridge_disk *disk, int operation) {
    if (!disk) return 0;
    if (disk->is_dead) {
        last_error = errno = EIO;
        return 1;
    }
    if (!(disk->operations & operation)) return 0;
    if (disk->after > 0) {
        disk->after--;
        return 0;
    }
    if (disk->times == 0) return 0;
    if (disk->times > 0) disk->times--;
    last_error = errno = disk->error;
    return 1;
}

static int64_t size_of(node *n) {
    struct stat status;
    return fstat(n->descriptor, &status) == 0 ? status.st_size : 0;
}

static void *grown(void *memory, int64_t from, int64_t to) {
    unsigned char *more = realloc(memory, to > 0 ? (size_t)to : 1);
    if (to > from) memset(more + from, 0, (size_t)(to - from));
    return more;
}

static void soil(node *n, int64_t offset, int64_t count) {
    int64_t end = (offset + count + PAGE - 1) / PAGE;
    if (end > n->dirty_pages) {
        n->dirty = grown(n->dirty, n->dirty_pages, end);
        n->dirty_pages = end;
    }
    for (int64_t page = offset / PAGE; page < end; page++) n->dirty[page] = 1;
}

static void sync_node(node *n) {
    int64_t size = size_of(n);
    n->durable = grown(n->durable, n->durable_size, size);
    n->durable_size = size;
    for (int64_t page = 0; page < n->dirty_pages; page++) {
        if (!n->dirty[page] || page * PAGE >= size) continue;
        int64_t count = size - page * PAGE < PAGE ? size - page * PAGE : PAGE;
        if (pread(n->descriptor, n->durable + page * PAGE, (size_t)count, page * PAGE) < 0) abort();
    }
    if (n->dirty) memset(n->dirty, 0, (size_t)n->dirty_pages);
}

static node *node_at(smsbridge_disk *disk, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) return NULL;
    for (node *n = disk->nodes; n; n = n->next)
        if (n->device == status.st_dev && n->inode == status.st_ino) return n;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return NULL;
    node *n = calloc(1, sizeof *n);
    n->device = status.st_dev;
    n->inode = status.st_ino;
    n->descriptor = descriptor;
    n->durable_size = status.st_size;
    n->durable = grown(NULL, 0, status.st_size);
    if (pread(descriptor, n->durable, (size_t)status.st_size, 0) < 0) abort();
    n->next = disk->nodes;
    disk->nodes = n;
    return n;
}

static int close_file(sqlite3_file *f) {
    int code = of(f)->real->pMethods ? of(f)->real->pMethods->xClose(of(f)->real) : SQLITE_OK;
    sqlite3_free(of(f)->real);
    return code;
}

static int read_file(sqlite3_file *f, void *bytes, int count, sqlite3_int64 offset) {
    pthread_mutex_lock(&lock);
    int fault = fails(of(f)->disk, SMSBRIDGE_DISK_READ);
    int error = errno;
    pthread_mutex_unlock(&lock);
    // As the system's own VFS says it.
    if (fault) return error == EIO || error == ENXIO || error == ERANGE ? SQLITE_IOERR_CORRUPTFS : SQLITE_IOERR_READ;
    return of(f)->real->pMethods->xRead(of(f)->real, bytes, count, offset);
}

static int write_file(sqlite3_file *f, const void *bytes, int count, sqlite3_int64 offset) {
    smsbridge_disk *disk = of(f)->disk;
    pthread_mutex_lock(&lock);
    int code = SQLITE_OK;
    if (fails(disk, SMSBRIDGE_DISK_WRITE)) {
        // As the system's own VFS says it.
        code = disk->error == ENOSPC && !disk->is_dead ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    } else if (of(f)->node) {
        int64_t growth = offset + count - size_of(of(f)->node);
        if (growth > 0 && disk->room >= 0 && growth > disk->room) {
            last_error = errno = disk->room_error;
            code = disk->room_error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
        } else {
            if (growth > 0 && disk->room >= 0) disk->room -= growth;
            soil(of(f)->node, offset, count);
        }
    }
    if (code == SQLITE_OK) code = of(f)->real->pMethods->xWrite(of(f)->real, bytes, count, offset);
    pthread_mutex_unlock(&lock);
    return code;
}

static int truncate_file(sqlite3_file *f, sqlite3_int64 size) {
    pthread_mutex_lock(&lock);
    int code = SQLITE_OK;
    if (fails(of(f)->disk, SMSBRIDGE_DISK_WRITE)) code = SQLITE_IOERR_TRUNCATE;
    if (code == SQLITE_OK && of(f)->node && of(f)->disk->room >= 0) {
        int64_t before = size_of(of(f)->node);
        if (before > size) of(f)->disk->room += before - size;
    }
    if (code == SQLITE_OK) code = of(f)->real->pMethods->xTruncate(of(f)->real, size);
    pthread_mutex_unlock(&lock);
    return code;
}

static int sync_file(sqlite3_file *f, int flags) {
    if (!of(f)->node) return of(f)->real->pMethods->xSync(of(f)->real, flags);
    pthread_mutex_lock(&lock);
    int code = SQLITE_OK;
    if (fails(of(f)->disk, SMSBRIDGE_DISK_SYNC)) {
        code = SQLITE_IOERR_FSYNC;
        // The kernel takes them for clean from now on.
        if (!of(f)->disk->is_dead && of(f)->node->dirty)
            memset(of(f)->node->dirty, 0, (size_t)of(f)->node->dirty_pages);
    } else {
        sync_node(of(f)->node);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size) { return of(f)->real->pMethods->xFileSize(of(f)->real, size); }
static int lock_file(sqlite3_file *f, int level) { return of(f)->real->pMethods->xLock(of(f)->real, level); }
static int unlock_file(sqlite3_file *f, int level) { return of(f)->real->pMethods->xUnlock(of(f)->real, level); }
static int check_lock(sqlite3_file *f, int *result) { return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, result); }
static int control(sqlite3_file *f, int operation, void *argument) {
    return of(f)->real->pMethods->xFileControl(of(f)->real, operation, argument);
}
static int sector_size(sqlite3_file *f) { return of(f)->real->pMethods->xSectorSize(of(f)->real); }
static int characteristics(sqlite3_file *f) { return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real); }
static int shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **memory) {
    return of(f)->real->pMethods->xShmMap(of(f)->real, page, size, extend, memory);
}
static int shm_lock(sqlite3_file *f, int offset, int count, int flags) {
    return of(f)->real->pMethods->xShmLock(of(f)->real, offset, count, flags);
}
static void shm_barrier(sqlite3_file *f) { of(f)->real->pMethods->xShmBarrier(of(f)->real); }
static int shm_unmap(sqlite3_file *f, int removes) { return of(f)->real->pMethods->xShmUnmap(of(f)->real, removes); }

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static smsbridge_disk *disk_of(const char *path) {
    for (smsbridge_disk *disk = disks; path && disk; disk = disk->next) {
        size_t length = strlen(disk->folder);
        if (!strncmp(path, disk->folder, length) && path[length] == '/') return disk;
    }
    return NULL;
}

static int open_file(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *result) {
    (void)v;
    pthread_mutex_lock(&lock);
    smsbridge_disk *disk = disk_of(name);
    int fault = fails(disk, SMSBRIDGE_DISK_OPEN);
    f->pMethods = NULL;
    of(f)->disk = disk;
    of(f)->node = NULL;
    of(f)->real = sqlite3_malloc(base_vfs->szOsFile);
    memset(of(f)->real, 0, (size_t)base_vfs->szOsFile);
    int code = fault ? SQLITE_CANTOPEN : base_vfs->xOpen(base_vfs, name, of(f)->real, flags, result);
    if (code == SQLITE_OK) {
        if (disk) of(f)->node = node_at(disk, name);
        f->pMethods = &methods;
    } else {
        sqlite3_free(of(f)->real);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static int delete_file(sqlite3_vfs *v, const char *name, int syncs) {
    (void)v;
    pthread_mutex_lock(&lock);
    smsbridge_disk *disk = disk_of(name);
    int fault = fails(disk, SMSBRIDGE_DISK_WRITE);
    struct stat status;
    if (!fault && disk && disk->room >= 0 && stat(name, &status) == 0) disk->room += status.st_size;
    pthread_mutex_unlock(&lock);
    return fault ? SQLITE_IOERR_DELETE : base_vfs->xDelete(base_vfs, name, syncs);
}

static int get_last_error(sqlite3_vfs *v, int size, char *text) {
    (void)v, (void)size, (void)text;
    int error = last_error ? last_error : errno;
    last_error = 0;
    return error;
}

static int access_file(sqlite3_vfs *v, const char *name, int flags, int *result) {
    (void)v;
    return base_vfs->xAccess(base_vfs, name, flags, result);
}
static int full_path(sqlite3_vfs *v, const char *name, int size, char *result) {
    (void)v;
    return base_vfs->xFullPathname(base_vfs, name, size, result);
}
static int randomness(sqlite3_vfs *v, int size, char *bytes) {
    (void)v;
    return base_vfs->xRandomness(base_vfs, size, bytes);
}
static int pause_for(sqlite3_vfs *v, int microseconds) {
    (void)v;
    return base_vfs->xSleep(base_vfs, microseconds);
}
static int time_now(sqlite3_vfs *v, double *time) {
    (void)v;
    return base_vfs->xCurrentTime(base_vfs, time);
}

static void install(void) {
    base_vfs = sqlite3_vfs_find(NULL);
    vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = sizeof(file),
        .mxPathname = base_vfs->mxPathname,
        .zName = "smsbridge-faulty-disk",
        .xOpen = open_file,
        .xDelete = delete_file,
        .xAccess = access_file,
        .xFullPathname = full_path,
        .xRandomness = randomness,
        .xSleep = pause_for,
        .xCurrentTime = time_now,
        .xGetLastError = get_last_error,
    };
    sqlite3_vfs_register(&vfs, 1);
}

smsbridge_disk *smsbridge_disk_new(const char *folder) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    smsbridge_disk *disk = calloc(1, sizeof *disk);
    disk->folder = strdup(folder);
    disk->room = -1;
    pthread_mutex_lock(&lock);
    disk->next = disks;
    disks = disk;
    pthread_mutex_unlock(&lock);
    return disk;
}

static void free_nodes(smsbridge_disk *disk) {
    while (disk->nodes) {
        node *n = disk->nodes;
        disk->nodes = n->next;
        close(n->descriptor);
        free(n->durable);
        free(n->dirty);
        free(n);
    }
}

void smsbridge_disk_free(smsbridge_disk *disk) {
    pthread_mutex_lock(&lock);
    for (smsbridge_disk **place = &disks; *place; place = &(*place)->next)
        if (*place == disk) {
            *place = disk->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    free_nodes(disk);
    free(disk->folder);
    free(disk);
}

void smsbridge_disk_fail(smsbridge_disk *disk, int operations, int error, int64_t after, int64_t times) {
    pthread_mutex_lock(&lock);
    disk->operations = operations;
    disk->error = error;
    disk->after = after;
    disk->times = times;
    pthread_mutex_unlock(&lock);
}

void smsbridge_disk_set_room(smsbridge_disk *disk, int64_t bytes, int error) {
    pthread_mutex_lock(&lock);
    disk->room = bytes;
    disk->room_error = error;
    pthread_mutex_unlock(&lock);
}

void smsbridge_disk_kill(smsbridge_disk *disk) {
    pthread_mutex_lock(&lock);
    disk->is_dead = 1;
    pthread_mutex_unlock(&lock);
}

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void lose_power(node *n, uint64_t *random) {
    int64_t size = size_of(n);
    unsigned char *now = grown(NULL, 0, size);
    if (pread(n->descriptor, now, (size_t)size, 0) < 0) abort();
    // All, none, or some of what was on its way arrives.
    unsigned chance = (unsigned)(next_random(random) % 3) * 50;
    int64_t left = n->durable_size;
    for (int64_t page = 0; page < n->dirty_pages; page++) {
        if (!n->dirty[page]) continue;
        for (int64_t at = page * PAGE; at < (page + 1) * PAGE && at < size; at += SECTOR) {
            if (next_random(random) % 100 >= chance) continue;
            int64_t count = size - at < SECTOR ? size - at : SECTOR;
            if (at + count > left) {
                n->durable = grown(n->durable, left, at + count);
                left = at + count;
            }
            memcpy(n->durable + at, now + at, (size_t)count);
        }
    }
    if (ftruncate(n->descriptor, left) != 0 || pwrite(n->descriptor, n->durable, (size_t)left, 0) < 0) abort();
    free(now);
}

void smsbridge_disk_restart(smsbridge_disk *disk, int loses_power, uint64_t seed) {
    pthread_mutex_lock(&lock);
    uint64_t random = seed;
    if (loses_power)
        for (node *n = disk->nodes; n; n = n->next) lose_power(n, &random);
    if (loses_power) free_nodes(disk);
    disk->is_dead = 0;
    disk->operations = 0;
    disk->room = -1;
    pthread_mutex_unlock(&lock);
}
