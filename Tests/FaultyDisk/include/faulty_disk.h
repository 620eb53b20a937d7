// A disk that fails on request, below SQLite: a VFS around the system's own. Files outside of a disk's folder pass through.
//
// A disk keeps, beside each file, what a loss of power would leave of it: pages that were written since the last
// successful sync may be lost, sector by sector. After a failed sync the pages count as clean and are on no disk, as on
// Linux: a later sync that succeeds says nothing about them.
#pragma once
#include <stdint.h>

typedef struct smsbridge_disk smsbridge_disk;

enum {
    SMSBRIDGE_DISK_READ = 1,
    SMSBRIDGE_DISK_WRITE = 2,
    SMSBRIDGE_DISK_SYNC = 4,
    SMSBRIDGE_DISK_OPEN = 8,
};

/// Makes the files of a folder, and of folders below it, those of a new disk.
smsbridge_disk *smsbridge_disk_new(const char *folder);
/// Ends it. No file of it may be open.
void smsbridge_disk_free(smsbridge_disk *disk);

/// Lets operations fail with an errno: `times` of them (negative: until told otherwise) after `after` that still work.
/// `operations` 0 ends it.
void smsbridge_disk_fail(smsbridge_disk *disk, int operations, int error, int64_t after, int64_t times);
/// Lets files grow by so many bytes in all (negative: without a bound), and fail with an errno beyond.
void smsbridge_disk_set_room(smsbridge_disk *disk, int64_t bytes, int error);

/// The process ends: nothing is read or written any more.
void smsbridge_disk_kill(smsbridge_disk *disk);
/// It starts again. With `loses_power`, files have what the disk had at the end, as the seed chooses; else all that was written.
void smsbridge_disk_restart(smsbridge_disk *disk, int loses_power, uint64_t seed);
