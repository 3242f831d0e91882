"""The programs that ours is measured against, and the table of results."""
import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path


def build(root):
    """The release program of this clone."""
    cache = os.environ.get("LIGHTKEEP_TEST_CACHE", str(Path.home() / ".cache/lightkeep"))
    target = os.environ.get("CARGO_TARGET_DIR", f"{cache}/target")
    environment = os.environ | {"CARGO_TARGET_DIR": target}
    subprocess.run(["cargo", "build", "--quiet", "--release", "--bin", "lightkeep"], cwd=root, env=environment, check=True)
    return Path(target) / "release/lightkeep"


def build_bench(root, name):
    """The release form of one of the programs beside this file."""
    cache = os.environ.get("LIGHTKEEP_TEST_CACHE", str(Path.home() / ".cache/lightkeep"))
    environment = os.environ | {"CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", f"{cache}/target")}
    command = ["cargo", "bench", "--quiet", "--bench", name, "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    built = [json.loads(line).get("executable") for line in lines if f'"name":"{name}"' in line]
    return next(path for path in reversed(built) if path)


def settle(place, versions):
    """Puts back what an interrupted round left under the name `source`."""
    source = place / "source"
    for version in versions:
        if source.exists() and not (place / version.name).exists() and (place / f"{version.name}.complete").exists():
            source.rename(place / version.name)


class Peer:
    """A program that is started for each action."""

    def __init__(self, scratch, name):
        self.home = scratch / name
        self.home.mkdir()
        self.environment = os.environ | {"RESTIC_PASSWORD": "bench", "BORG_PASSPHRASE": "bench"}
        self.environment |= {"RESTIC_CACHE_DIR": str(self.home / "cache"), "BORG_BASE_DIR": str(self.home / "base")}
        for variable in ("RESTIC_REPOSITORY", "RESTIC_PASSWORD_FILE", "BORG_REPO"):
            self.environment.pop(variable, None)

    def path(self, repository):
        return self.home / repository

    def run(self, *words, cwd=None):
        done = subprocess.run(words, env=self.environment, cwd=cwd, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]} failed: {done.stderr[-2000:]}")


class Restic(Peer):
    """restic with its defaults."""

    def __init__(self, scratch):
        super().__init__(scratch, "restic")

    def begin(self, repository, _source):
        self.run("restic", "-q", "-r", str(self.path(repository)), "init")

    def snapshot(self, repository, source):
        self.run("restic", "-q", "-r", str(self.path(repository)), "backup", str(source))

    def restore(self, repository, target):
        self.run("restic", "-q", "-r", str(self.path(repository)), "restore", "latest", "--target", str(target))

    def check(self, repository):
        self.run("restic", "-q", "-r", str(self.path(repository)), "check", "--read-data")

    @staticmethod
    def restored(target, source):
        return Path(f"{target}{source}")


class Borg(Peer):
    """borg with encryption and compression like restic's."""

    def __init__(self, scratch):
        super().__init__(scratch, "borg")
        self.number = 0

    def begin(self, repository, _source):
        self.run("borg", "init", "--encryption", "repokey", str(self.path(repository)))

    def snapshot(self, repository, source):
        self.number += 1
        self.run("borg", "create", "--compression", "zstd,3", f"{self.path(repository)}::{self.number}", str(source))

    def restore(self, repository, target):
        target.mkdir()
        self.run("borg", "extract", f"{self.path(repository)}::{self.number}", cwd=target)

    @staticmethod
    def restored(target, source):
        return Path(f"{target}{source}")


def report(times, sizes, peaks, targets, memory_limit):
    """Prints the tables; whether all targets are met."""
    medians = {key: statistics.median(rounds) for key, rounds in times.items()}
    programs = sorted({program for _, program in medians}, key=lambda name: (name != "ours", name != "restic", name))
    print(f"\n{'seconds, medians':34}" + "".join(f"{program:>10}" for program in programs) + f"{'ratio':>8}{'target':>8}")
    well = True
    counterparts = {}  # restic knows no audit: both of our ways are measured against its one
    for name in (name for name, program in medians if program == "ours"):
        counterparts[name] = name if (name, "restic") in medians else name.replace(" plain", "").replace(" audited", "")
    for name in dict.fromkeys(name for name, _ in medians):
        if name not in counterparts and name in counterparts.values():
            continue
        theirs = counterparts.get(name, name)
        values = {program: medians.get((name if program == "ours" else theirs, program)) for program in programs}
        line = f"{name:34}" + "".join(f"{value:10.3f}" if value is not None else f"{'-':>10}" for value in values.values())
        if values.get("ours") is None or values.get("restic") is None:
            print(line)
            continue
        ratio, target = values["ours"] / values["restic"], targets.get(name)
        line += f"{ratio:8.3f}"
        if target is not None:
            met = ratio <= target
            well = well and met
            line += f"{target:8.2f}  {'met' if met else 'MISSED'}"
        print(line)
    print("\nrepositories, MB")
    for (workload, program), size in sizes.items():
        limit = sizes.get((workload, f"restic ({workload})"))
        # The audit's records and our manifest are allowed a hundredth.
        missed = program.startswith("ours") and limit is not None and size > limit * 1.01
        well = well and not missed
        print(f"  {workload} {program:24}{size / 1e6:10.1f}{'  MISSED' if missed else ''}")
    print("\npeak memory of the server, MB")
    for workload, peak in peaks.items():
        well = well and peak < memory_limit
        print(f"  {workload}{peak / 2**20:10.1f}{'' if peak < memory_limit else '  MISSED'}")
    print(f"\nmachine: {os.cpu_count()} cores; restic {version('restic')}; borg {version('borg')}")
    print("all targets are met" if well else "not all targets are met")
    return well


def version(program):
    if not shutil.which(program):
        return "not installed"
    words = [program, "version"] if program == "restic" else [program, "--version"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()
