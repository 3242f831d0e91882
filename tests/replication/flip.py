"""A bit that flips on the way: a TCP proxy that changes one byte inside a large DATA frame of HTTP/2, once."""
import contextlib
import random
import socket
import threading

from network import TARGET
from pair import Pair, expect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, LARGE = 0, 8 << 10


class Proxy:
    """Listens in one namespace, and passes on to an address that is reached from there."""

    def __init__(self, space, address):
        self.space, self.address, self.flipped = space, address, 0
        with space.inside():
            self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with self.space.inside():
                    server = socket.create_connection(self.address)
                for work in ((self.forward, client, server), (self.back, server, client)):
                    threading.Thread(target=self.unless_it_breaks, args=work, daemon=True).start()

    @staticmethod
    def unless_it_breaks(work, reader, writer):
        with contextlib.suppress(OSError):
            work(reader, writer)
        for each in (reader, writer):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def back(reader, writer):
        while piece := reader.recv(1 << 16):
            writer.sendall(piece)

    def forward(self, reader, writer):
        stream = reader.makefile("rb")
        begin = stream.read1(1)
        writer.sendall(begin)
        if begin == PREFACE[:1]:
            # HTTP/2. What comes by HTTP/1 is a GET: the look at the target's health.
            writer.sendall(stream.read(len(PREFACE) - 1))
            while header := stream.read(9):
                length, kind = int.from_bytes(header[:3], "big"), header[3]
                payload = stream.read(length)
                if kind == DATA and length > LARGE and not self.flipped:
                    payload = bytearray(payload)
                    payload[length // 2] ^= 1
                    self.flipped = length
                writer.sendall(header + payload)
        while piece := stream.read1(1 << 16):
            writer.sendall(piece)

    def close(self):
        self.listener.close()


def flip_a_bit(network, binary, home, options):
    with Pair(network, binary, home) as pair:
        proxy = Proxy(network.source, (TARGET, pair.target.http_port))
        try:
            source = pair.data / "rag"
            source.mkdir()
            (source / "file").write_bytes(random.Random(options.seed).randbytes(2_000_000))
            pair.register(url=f"http://127.0.0.1:{proxy.port}")
            pair.snapshot(source)
            pair.in_step()
        finally:
            proxy.close()
        expect("a bit has flipped", proxy.flipped > 0)
        failed = [event["message"] for event in pair.events() if event["kind"] == "failed"]
        packs = [path.name for path in (pair.source.storage / "g/data").rglob("*") if path.is_file()]
        expect("one attempt has failed and names the file", len(failed) == 1 and any(pack in failed[0] for pack in packs), failed)
        pair.check(None, "--read-data")
    return f'a byte changed in a DATA frame of {proxy.flipped:,} bytes; the attempt failed with "{failed[0]}", the next one came through'
