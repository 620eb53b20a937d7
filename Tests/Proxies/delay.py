"""Network delay for loopback, without the kernel's netem: a TUN device whose other end turns packets round.

`near` is this machine's address and `far` an address that only the device knows. A packet from near to far comes back, after the
delay, as one from far to near: so a client of far:port reaches the program that listens on near:port, and both directions
take their time. Swapping the two addresses changes no checksum. A port without a listener answers with a reset, as over any network.
"""

import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


class Delay:
    def __init__(self, seconds):
        """Raises OSError where the device cannot be made."""
        self.seconds = seconds
        self.name = f"sms{os.getpid() % 100000}"
        net = f"198.18.{os.getpid() % 250}"
        self.near, self.far = f"{net}.1", f"{net}.2"
        self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.ioctl(self.descriptor, TUNSETIFF, struct.pack("16sH22s", self.name.encode(), IFF_TUN | IFF_NO_PI, b""))
            for command in (["ip", "addr", "add", f"{self.near}/30", "dev", self.name], ["ip", "link", "set", self.name, "up"]):
                done = subprocess.run(command, capture_output=True, check=False)
                if done.returncode:
                    raise OSError(done.stderr.decode(errors="replace").strip())
        except OSError:
            os.close(self.descriptor)
            raise
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        waiting, number = [], 0
        while not self.ending:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                try:
                    os.write(self.descriptor, heapq.heappop(waiting)[2])
                except OSError:
                    pass
            pause = min(0.1, waiting[0][0] - now) if waiting else 0.1
            if not select.select([self.descriptor], [], [], max(0.0, pause))[0]:
                continue
            while True:
                try:
                    packet = os.read(self.descriptor, 65536)
                except BlockingIOError:
                    break
                # IPv4 only; source and destination stand at 12 and 16.
                if len(packet) >= 20 and packet[0] >> 4 == 4:
                    number += 1
                    turned = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
                    heapq.heappush(waiting, (time.monotonic() + self.seconds, number, turned))

    def end(self):
        self.ending = True
        self.thread.join(2)
        os.close(self.descriptor)
