"""The control file of faults.c, which is preloaded into the bridge."""

import errno
import mmap
import os
import struct

# In the order of `struct faults`.
FIELDS = ("sync_delay_ms", "sync_errno", "write_errno", "write_hang", "read_errno", "read_hang", "quota_bytes",
          "clock_offset_ns", "clock_status", "hits")
VALUE = struct.Struct("<q")


class Faults:
    def __init__(self, tools, folder, spool):
        path = os.path.join(folder, "faults")
        size = len(FIELDS) * VALUE.size
        with open(path, "wb") as file:
            file.write(bytes(size))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), size)
        self.environment = {"LD_PRELOAD": os.path.join(tools, "faults.so"), "CHAOS_FAULTS": path, "CHAOS_SPOOL": spool}
        self.set(clock_status=1)  # a machine without NTP would raise the alert by itself

    def set(self, **values):
        for name, value in values.items():
            at = FIELDS.index(name) * VALUE.size
            self.map[at:at + VALUE.size] = VALUE.pack(int(value))

    def clear(self):
        """Ends every fault."""
        self.set(**{name: 0 for name in FIELDS if name not in ("hits", "clock_status")}, clock_status=1)

    @property
    def hits(self):
        """Calls that failed or were held up so far."""
        return VALUE.unpack(self.map[-VALUE.size:])[0]

    # ---- the disk

    def hang(self, reads=False):
        """Writes and syncs, with `reads` also reads, do not return until `clear`."""
        self.set(write_hang=1, read_hang=int(reads))

    def fail_writes(self, code=errno.EIO):
        self.set(write_errno=code)

    def fail_reads(self, code=errno.EIO):
        self.set(read_errno=code)

    def fail_syncs(self, code=errno.EIO):
        self.set(sync_errno=code)

    def slow_syncs(self, milliseconds):
        self.set(sync_delay_ms=milliseconds)

    def quota(self, size):
        self.set(quota_bytes=size)

    # ---- the clock

    def step_clock(self, seconds):
        """The bridge's clock is so many seconds ahead (negative: behind)."""
        self.set(clock_offset_ns=round(seconds * 1e9))

    def synchronized(self, yes):
        self.set(clock_status=1 if yes else 2)

    def close(self):
        self.map.close()
