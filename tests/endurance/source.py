"""A LightRAG workspace that changes between snapshots: documents come and go, and files beside the stores are rewritten, grow, shrink, move and vanish."""
import hashlib
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import workloads  # noqa: E402

STATES = 6
DOCUMENT_BYTES = 205_000  # of a document with all its rows, at this dimension
DIMENSION = 64
LAST = "kv_store_doc_status.json"  # as LightRAG writes it


class Source:
    """Half its bytes are stores, of a workspace that holds all rules of the audit; half are files that no store knows."""

    def __init__(self, directory, scratch, megabytes, random):
        self.directory, self.random = directory, random
        self.target_bytes = megabytes * 500_000
        documents = max(2, self.target_bytes // DOCUMENT_BYTES)
        self.states = [scratch / f"state-{number}" for number in range(STATES)]
        for number, state in enumerate(self.states):
            workloads.workspace(state, documents + number, dimension=DIMENSION)
        self.state = 0
        shutil.copytree(self.states[0], directory)
        self.papers, self.count = directory / "papers", 0
        (self.papers / "old").mkdir(parents=True)
        while self.paper_bytes() < self.target_bytes:
            self.write_paper()

    def paper_list(self):
        return sorted(path for path in self.papers.rglob("*") if path.is_file())

    def paper_bytes(self):
        return sum(path.stat().st_size for path in self.paper_list())

    def write_paper(self):
        """A new file that does not compress; most are small."""
        self.count += 1
        largest = max(20_000, self.target_bytes // 5)
        size = int(largest ** self.random.uniform(0.6, 1))
        (self.papers / f"{self.count:05}.pdf").write_bytes(self.random.randbytes(size))

    def change(self):
        """One step: mostly small changes, sometimes other documents, sometimes nothing at all."""
        for _ in range(self.random.choice([0, 1, 1, 2, 3])):
            self.change_a_paper()
        if self.random.random() < 0.3:
            self.change_documents()

    def change_a_paper(self):
        path = self.random.choice(self.paper_list())
        size = path.stat().st_size
        way = self.random.choice(["inside", "inside", "end", "new", "gone", "moved", "cut"])
        if self.paper_bytes() > self.target_bytes:
            way = self.random.choice(["inside", "gone", "cut"])
        elif self.paper_bytes() < self.target_bytes * 0.9:
            way = self.random.choice(["inside", "end", "new", "new", "moved"])
        if way == "inside":
            with path.open("r+b") as file:
                file.seek(self.random.randrange(max(1, size)))
                file.write(self.random.randbytes(self.random.randrange(1, 5000)))
        elif way == "end":
            with path.open("ab") as file:
                file.write(self.random.randbytes(self.random.randrange(1, 50_000)))
        elif way == "cut":
            os.truncate(path, size // 2)
        elif way == "moved":
            path.rename(self.papers / ("old" if path.parent == self.papers else ".") / path.name)
        elif way == "gone" and len(self.paper_list()) > 3:
            path.unlink()
        else:
            self.write_paper()

    def change_documents(self):
        """LightRAG 1.5 replaces each store by a rename, doc_status last."""
        self.state = self.random.choice([number for number in range(STATES) if number != self.state])
        names = sorted(path.name for path in self.states[self.state].iterdir())
        for name in [name for name in names if name != LAST] + [LAST]:
            new = self.directory / f"{name}.tmp.1.1.1"
            shutil.copy(self.states[self.state] / name, new)
            new.rename(self.directory / name)


def digest(directory):
    """A hash of all names and bytes below a directory; equal for equal trees."""
    whole = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        whole.update(f"{path.relative_to(directory)}\0{content}\0".encode())
    return whole.hexdigest()
