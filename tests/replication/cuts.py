"""A slow cable that loses packets and is cut again and again, while snapshots are taken and sent."""
import os
import random
import shutil
import time

from pair import Pair, expect, finish, stored, until

CUTS, MEGABITS, AT_ONCE = 20, 50, 4
FILES, REPLACED, FILE_BYTES = 24, 5, 1 << 20


class Source:
    """Files that do not compress; each change replaces some and adds one."""

    def __init__(self, directory, chance):
        self.directory, self.random, self.count = directory, chance, 0
        directory.mkdir()
        for _ in range(FILES):
            self.add()

    def add(self):
        (self.directory / f"{self.count}.bin").write_bytes(self.random.randbytes(FILE_BYTES))
        self.count += 1

    def change(self):
        for path in self.random.sample(sorted(self.directory.iterdir()), REPLACED):
            path.write_bytes(self.random.randbytes(FILE_BYTES))
        self.add()


def freeze(copy, view):
    """The copy as it is now, by links. What a file needs is linked after it, as it was written before it."""
    for kind in ("snapshots", "index", "data", "keys"):
        for path in [path for path in (copy / kind).rglob("*") if path.is_file() and len(path.name) == 64]:
            place = view / path.relative_to(copy)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)
    for kind in ("snapshots", "index", "data", "locks"):
        (view / kind).mkdir(parents=True, exist_ok=True)
    shutil.copy(copy / "config", view / "config")


def expect_written_once(copy, once):
    """Each file that was there is still the one that was there. Notes those that are."""
    now = {name: (copy / name).stat().st_ino for name in stored(copy)}
    again = [name for name, number in once.items() if now.get(name) != number]
    expect("no file is written twice", not again, again)
    once |= now


def failures(pair):
    return [event["event_id"] for event in pair.events() if event["kind"] == "failed"]


def cut_again_and_again(network, binary, home, options):
    chance = random.Random(options.seed)
    network.worsen(MEGABITS)
    with Pair(network, binary, home) as pair:
        source = Source(pair.data / "rag", chance)
        pair.register()
        copy, checks, once, taken, lacking, broken = pair.copy(), [], {}, 0, [], 0
        for number in range(CUTS):
            if number == 0 or pair.replica()["lag_snapshots"] == 0 or chance.random() < 0.3:
                source.change()
                pair.snapshot(source.directory)
                taken += 1
            pair.resume()
            point = int(chance.uniform(0.05, 0.8) * pair.replica()["lag_bytes"])
            begun = network.received()
            until("a part is sent", lambda: network.received() - begun >= point or pair.replica()["lag_snapshots"] == 0)
            side = chance.choice(network.spaces)
            network.unplug(side)
            lag = pair.replica()["lag_bytes"]
            if lag > 0:
                lacking.append(lag)
            if (copy / "config").exists():
                freeze(copy, home / f"view-{number}")
                checks.append(pair.begin_check(home / f"view-{number}"))
                expect_written_once(copy, once)
            if lag > 0 and chance.random() < 0.35:
                before = failures(pair)
                until("the source notes that the connection broke", lambda: failures(pair) != before, 40)
                broken += 1
            else:
                time.sleep(chance.uniform(0.05, 0.5))
            network.plug(side)
        pair.in_step(limit=120)
        for check in checks:
            finish(check)
        pair.check(None, "--read-data")
        expect_written_once(copy, once)
        files, received, failed = stored(copy), network.received(), len(failures(pair))
    expect("a third of the cuts meet a transfer at least", len(lacking) > CUTS // 3, lacking)
    # A connection that breaks costs the files in flight: no more than four, and no more than was lacking.
    whole, largest = sum(files.values()), max(files.values())
    most = 1.1 * whole + sum(min(lag, AT_ONCE * largest) for lag in sorted(lacking, reverse=True)[:failed])
    expect("nothing is sent twice but files in flight", received <= most, f"{received} received, {most} at most, {whole} stored, {failed} attempts failed")
    return (f"{CUTS} cuts, {len(lacking)} of them in a transfer, {broken} until the connection broke; {failed} attempts failed; {taken} snapshots in step; "
            f"{len(checks)} times `restic check` while the cable was cut; {received:,} bytes received for {whole:,} stored in {len(files)} files of {largest:,} at most; "
            f"allowed {most:,.0f}")
