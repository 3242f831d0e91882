"""Two network namespaces with a cable between them, which can be slow, lose packets, and be cut."""
import contextlib
import ctypes
import os
import shutil
import subprocess
from pathlib import Path

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
LIBC = ctypes.CDLL(None, use_errno=True)
SOURCE, TARGET, THIRD = "10.77.0.1", "10.77.0.2", "10.77.0.3"
LARGEST_PACKET = 1514
NOBODY = "02:00:00:00:00:99"
# A random number modulo 100 is 0: drop. By the classic filter of `tc`, which every kernel has; netem is a module that many lack.
ONE_PERCENT = "5,32 0 0 4294963256,148 0 0 100,21 0 1 0,6 0 0 2,6 0 0 4294967295"


class NotPermitted(Exception):
    """This cannot be done here."""


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def enter(handle):
    if LIBC.setns(handle, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Space:
    """A network namespace. What a thread begins inside it, sockets and programs, stays there."""

    def __init__(self, name):
        self.name, self.handle = name, None

    def make(self):
        try:
            run("ip", "netns", "add", self.name)
        except RuntimeError as error:
            raise NotPermitted(error) from error
        self.handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        self.ip("link", "set", "lo", "up")

    @contextlib.contextmanager
    def inside(self):
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            enter(self.handle)
            yield
        finally:
            enter(outside)
            os.close(outside)

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def tc(self, *words):
        return run("tc", "-n", self.name, *words)

    def remove(self):
        if self.handle is not None:
            os.close(self.handle)
        if Path(f"/run/netns/{self.name}").exists():
            run("ip", "netns", "del", self.name)


class Network:
    """The two, while it is entered."""

    def __enter__(self):
        if os.geteuid() != 0:
            raise NotPermitted("network namespaces need root")
        missing = [program for program in ("ip", "tc") if shutil.which(program) is None]
        if missing:
            raise NotPermitted(f"there is no `{missing[0]}`: install iproute2")
        self.spaces = [Space(f"lightkeep-{os.getpid()}-{side}") for side in ("source", "target")]
        self.source, self.target = self.spaces
        try:
            for space in self.spaces:
                space.make()
            # The cable has no name outside, and goes with them.
            run("ip", "link", "add", "eth0", "netns", self.source.name, "type", "veth", "peer", "name", "eth0", "netns", self.target.name)
            for space, addresses in ((self.source, [SOURCE]), (self.target, [TARGET, THIRD])):
                for address in addresses:
                    space.ip("address", "add", f"{address}/24", "dev", "eth0")
                self.plug(space)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for space in self.spaces:
            space.remove()

    def plug(self, space):
        space.ip("link", "set", "eth0", "up")

    def unplug(self, space):
        space.ip("link", "set", "eth0", "down")

    def received(self):
        """Bytes that have come to the target over the cable."""
        with self.target.inside():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        [counters] = [line.split(":")[1].split() for line in lines if line.strip().startswith("eth0:")]
        return int(counters[0])

    def sent_again(self):
        """Bytes at most that TCP of the source has sent a second time: on a busy machine an answer comes late, and it takes that for a loss."""
        with self.source.inside():
            lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
        names, values = [line.split() for line in lines if line.startswith("Tcp:")]
        return int(values[names.index("RetransSegs")]) * LARGEST_PACKET

    def worsen(self, megabits):
        """Holds the bandwidth down, loses one packet in a hundred of what comes at either side, and has a connection break that gets no
        answer for two seconds rather than a quarter of an hour."""
        for space in self.spaces:
            # Each packet for itself, as on a real cable, and not 64 KB of them at once.
            space.ip("link", "set", "eth0", "gso_max_segs", "1")
            try:
                space.tc("qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{megabits}mbit", "burst", "64kb", "latency", "100ms")
                space.tc("qdisc", "add", "dev", "eth0", "clsact")
                space.tc("filter", "add", "dev", "eth0", "ingress", "bpf", "da", "bytecode", ONE_PERCENT)
            except RuntimeError as error:
                raise NotPermitted(error) from error
            with space.inside():
                Path("/proc/sys/net/ipv4/tcp_retries2").write_text("2")

    def swallow(self, address):
        """From now on all that goes to this address of the target vanishes, without a word."""
        self.source.ip("neighbour", "replace", address, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0")

    def let_through(self, address):
        self.source.ip("neighbour", "del", address, "dev", "eth0")
