"""What the repository is measured against: stock restic, and fresh repositories with the same snapshots."""
import json
import shutil
import subprocess

from care import GRAPHS, repository_bytes
from source import digest

FRESH = "fresh"


def restic(care, repository, *arguments):
    command = ["restic", "--no-cache", "--quiet", "-r", str(repository), "--password-file", str(care.storage / "repository.key"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(f"restic {arguments[0]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def data_packs(care, repository, index):
    """The packs of file content that an index file names, as restic reads it; all others are of directories."""
    packs = json.loads(restic(care, repository, "cat", "index", index))["packs"]
    return [repository / "data" / pack["id"][:2] / pack["id"] for pack in packs if pack["blobs"][0]["type"] == "data"]


def fresh_by_snapshots(care, years, failures):
    """Restores each snapshot, compares it with what was saved, and saves it again in a repository of its own. Gives that one's bytes."""
    source = care.data / "fresh"
    for number, (snapshot, saved) in enumerate(years.expected.items()):
        target = care.data / f"restored-{number}"
        care.ask(None, "POST", f"{GRAPHS}/main/snapshots/{snapshot}/restore", {"target_dir": str(target)})
        failures.check("a snapshot restores to the byte", digest(target) == saved, snapshot)
        shutil.rmtree(source, ignore_errors=True)
        target.rename(source)
        care.ask(None, "POST", f"{GRAPHS}/{FRESH}/snapshots", {"source_dir": str(source)})
    care.ask(None, "POST", f"{GRAPHS}/{FRESH}/repository/prune", {"max_unused_percent": 0})
    return repository_bytes(care.repository(FRESH))


def fresh_by_restic(care, copied, count, failures):
    """Has restic copy all snapshots into a repository of its own. Gives that one's bytes."""
    origin = ["--from-repo", str(care.repository("main")), "--from-password-file", str(care.storage / "repository.key")]
    restic(care, copied, "init", *origin, "--copy-chunker-params", "--repository-version", "2")
    restic(care, copied, "copy", *origin)
    records = json.loads(restic(care, copied, "snapshots", "--json"))
    failures.check("restic copies each snapshot", len(records) == count, len(records))
    return repository_bytes(copied)
