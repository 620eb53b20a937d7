"""A TCP proxy in front of two clusters: one address, behind it the nodes of one cluster or of the other.

    switch.py CLUSTER CLUSTER     each a list of ports, one a node: 21000,21001,21002

It listens on a port for each node and prints these ports first. Lines on its standard input:

    target N    new connections lead to cluster N (0 or 1); -1: to none, they end with a reset
    only N      the first N nodes are reachable (a new connection to another one ends with a reset)
    cut         every connection ends with a reset

Each is answered with `ok`. Brokers advertise their own ports; in what they send, those are replaced by the proxy's ports, so
that a client stays behind the proxy.
"""

import asyncio
import socket
import struct
import sys

HOST = b"127.0.0.1"


class Switch:
    def __init__(self, clusters):
        self.clusters, self.target, self.writers, self.ports, self.reachable = clusters, 0, set(), [], len(clusters[0])

    async def listen(self):
        self.servers = [await asyncio.start_server(lambda r, w, node=node: self.serve(node, r, w), "127.0.0.1", 0)
                        for node in range(len(self.clusters[0]))]
        self.ports = [server.sockets[0].getsockname()[1] for server in self.servers]
        self.replacements = [(HOST + struct.pack(">I", port), HOST + struct.pack(">I", self.ports[node]))
                             for cluster in self.clusters for node, port in enumerate(cluster)]

    async def serve(self, node, reader, writer):
        target = self.target
        try:
            if target < 0 or node >= self.reachable:
                raise OSError
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.clusters[target][node])
        except OSError:
            self.reset(writer)
            return
        pair = (writer, broker_writer)
        if target != self.target:  # switched since
            for one in pair:
                self.reset(one)
            return
        self.writers.update(pair)
        tasks = [asyncio.ensure_future(self.requests(reader, broker_writer)),
                 asyncio.ensure_future(self.responses(broker_reader, writer))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in pair:
            self.writers.discard(one)
            one.close()

    @staticmethod
    async def requests(source, sink):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    async def responses(self, source, sink):
        while True:
            head = await source.readexactly(4)
            body = await source.readexactly(struct.unpack(">I", head)[0])
            for old, new in self.replacements:
                body = body.replace(old, new)
            sink.write(head + body)
            await sink.drain()

    @staticmethod
    def reset(writer):
        raw = writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def obey(self, line):
        word, *rest = line.split()
        if word == "target":
            self.target = int(rest[0])
        elif word == "only":
            self.reachable = int(rest[0])
        elif word == "cut":
            for writer in list(self.writers):
                self.reset(writer)
        else:
            return "what?"
        return "ok"


async def main():
    switch = Switch([[int(port) for port in text.split(",")] for text in sys.argv[1:3]])
    await switch.listen()
    print(",".join(map(str, switch.ports)), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(switch.obey(line), flush=True)


asyncio.run(main())
