"""A TCP proxy in front of a broker, a process of its own, told by lines on its standard input what to do:

    delay SECONDS   bytes from the broker come that much later (each by itself: it is latency, not less throughput)
    cut             every connection ends with a reset; new ones are served
    hold / pass     nothing moves in either direction, connections stay open / all of it goes on

It prints its port first and answers each line with `ok`.
"""

import asyncio
import socket
import struct
import sys
import time


class Proxy:
    def __init__(self, target):
        self.target, self.delay, self.writers = target, 0.0, set()
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def serve(self, reader, writer):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self.reset(writer)
            return
        pair = (writer, back)
        self.writers.update(pair)
        tasks = [asyncio.ensure_future(self.copy(reader, back, False)), asyncio.ensure_future(self.copy(there, writer, True))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in pair:
            self.writers.discard(one)
            one.close()

    async def copy(self, source, sink, delayed):
        line = asyncio.Queue()

        async def deliver():
            while True:
                due, data = await line.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self.flowing.wait()
                sink.write(data)
                await sink.drain()

        delivery = asyncio.ensure_future(deliver())
        try:
            while True:
                await self.flowing.wait()
                data = await source.read(65536)
                if not data:
                    break
                if delivery.done():
                    break
                line.put_nowait((time.monotonic() + (self.delay if delayed else 0.0), data))
        except OSError:
            pass
        finally:
            delivery.cancel()

    @staticmethod
    def reset(writer):
        raw = writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def obey(self, line):
        word, *rest = line.split()
        if word == "delay":
            self.delay = float(rest[0])
        elif word == "cut":
            for writer in list(self.writers):
                self.reset(writer)
        elif word == "hold":
            self.flowing.clear()
        elif word == "pass":
            self.flowing.set()
        else:
            return "what?"
        return "ok"


async def main():
    proxy = Proxy(int(sys.argv[2]))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", int(sys.argv[1]))
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        print(proxy.obey(line), flush=True)


asyncio.run(main())
