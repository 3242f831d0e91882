"""Where documents are run: namespaces of one's own, in which their paths and addresses are ours to fill."""
import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import legacy
import others
import rag
from markdown import Document

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SAMPLE = ROOT / "tests/fixtures/workspaces/sample"
PASSWORD = Path("/etc/lightkeep/password")  # of the repositories of all instances
STATE = Path("/run/lightkeep-docs")
HOME = STATE / "home"
PEER_KEY = "6f1c" + "0" * 44  # which the documents cut to `6f1c…`
# Empty in the namespace; and what can be written there without anybody else seeing it.
EMPTY = ("/srv", "/mnt", "/run")
LAID_OVER = (ROOT, Path("/etc"), Path("/tmp"), Path("/opt"), Path("/usr/local"), Path("/var/lib"))
METRICS = "127.0.0.1:9091"  # as docs/OPERATIONS.md sets it
DIRECTORIES = (HOME, "/srv/lightrag/inputs", "/srv/backups", "/etc/lightkeep", "/var/lib/lightkeep", "/mnt/disk", "/mnt/second-disk", "/mnt/site")
SOURCES = ("/srv/lightrag/rag_storage", "/srv/lightrag/second", "/srv/lightrag/graph1", "/srv/berlin-data/graph1", "/srv/berlin-data/graph2")
# Where a document says that the server listens, by a setting or by the variable that its commands use.
SETTING = re.compile(r"LIGHTKEEP_HTTP_ADDR=(127\.0\.0\.1:\d+)")
VARIABLE = re.compile(r"\b[A-Z]=http://(127\.0\.0\.1:\d+)/api")
DEFAULT = "127.0.0.1:9621"
INSTALLED = "/usr/local/bin"  # where the program is, in documents whose reader has installed it


def separately(words: list[str]) -> list[str]:
    """A command in namespaces of its own, which end with it, and with all that it has started. The shell is their first process, and buries what ends in them."""
    spaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    return ["unshare", *spaces, "sh", "-c", '"$@"; exit $?', "sh", *words]


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}")


def enter() -> None:
    """Makes the directories of the documents. Needs root, in namespaces of our own."""
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "docs", "/mnt")
    laid: list[Path] = []
    for place in sorted(LAID_OVER):
        if any(place.is_relative_to(other) for other in laid):
            continue
        upper, work = Path(f"/mnt/upper-{len(laid)}"), Path(f"/mnt/work-{len(laid)}")
        upper.mkdir()
        work.mkdir()
        run("mount", "-t", "overlay", "docs", "-o", f"lowerdir={place},upperdir={upper},workdir={work}", str(place))
        laid.append(place)
    for emptied in EMPTY:
        run("mount", "-t", "tmpfs", "docs", emptied)
    for directory in DIRECTORIES:
        Path(directory).mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        shutil.copytree(SAMPLE, source)
    Path("/srv/lightrag/inputs/orchard.txt").write_text("An orchard above the harbour.\n")
    Path("/etc/hosts").write_text("127.0.0.1 localhost\n")
    PASSWORD.touch(0o600)
    PASSWORD.write_text(secrets.token_hex(24))
    (ROOT / ".env").unlink(missing_ok=True)  # a developer's own; gone in this namespace only
    os.chdir(ROOT)


def install(place: Path) -> None:
    """Puts the program into a directory, and takes a developer's own out of the path."""
    Path(INSTALLED, "lightkeep").unlink(missing_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    (place / "lightkeep").unlink(missing_ok=True)
    (place / "lightkeep").symlink_to(HERE / "lightkeep")


def address(document: Document) -> str:
    """Where the server listens that the commands of the document ask."""
    text = "\n".join([block.text for block in document.blocks if block.language != "text"] + document.assignments)
    found = SETTING.search(text) or VARIABLE.search(text)
    return found[1] if found else DEFAULT


def furnish(document: Document, ours: str, graphs: dict[str, str]) -> None:
    """Starts the server as docs/OPERATIONS.md has it, with graphs of two snapshots each, and with copies of another machine where the document names them."""
    storage = Path("/srv/backups/lightrag")
    storage.mkdir()
    shutil.copy(PASSWORD, storage / "repository.key")
    Path("/etc/lightkeep/environment").write_text(
        f"LIGHTKEEP_HTTP_ADDR={ours}\nLIGHTKEEP_METRICS_ADDR={METRICS}\n"
        f"LIGHTRAG_BACKUP_STORAGE={storage}\nLIGHTRAG_RECOVERY_DB_URL=sqlite:////var/lib/lightkeep/lightkeep.db\n"
        f"LIGHTKEEP_ALLOWED_ROOTS=/srv/lightrag:/mnt\nLIGHTKEEP_REPLICATION_ROOTS=/mnt\nLIGHTKEEP_PEER_KEYS=berlin:{PEER_KEY}\n"
        "LIGHTKEEP_ALERT_WEBHOOK_URL=http://127.0.0.1:9/alerts\n"  # nobody listens there
    )
    run("systemctl", "start", "lightkeep")
    for graph, source in graphs.items():
        for change in ("first", "second"):
            Path(source, "notes.txt").write_text(f"{change} 89\n")
            others.ask(ours, "POST", f"/api/backup/backup/graphs/{graph}/snapshots", {"source_dir": source})
    if "@berlin" in document.path.read_text():
        others.berlin(ours, PEER_KEY)


def invite(document: Document) -> None:
    """What else the document names: the other machine, LightRAG, what the old server has left."""
    text = document.path.read_text()
    if "paris.example" in text or "<base_url>" in text:
        others.paris(PEER_KEY)
    rag.install(document)
    legacy.leave(document, SAMPLE)
