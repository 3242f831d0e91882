"""The tour of docs/TOUR.md in a real terminal: a graph is added, saved, damaged, looked at, restored.

Drives tmux, looks for what each screen has to show, and with --write keeps the screens in docs/TOUR.md. The program is LIGHTKEEP_BIN.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lightrag"))

from server import Server  # noqa: E402: it lies in a neighbour's folder

DOCUMENT = ROOT / "docs" / "TOUR.md"
SAMPLE = ROOT / "tests" / "fixtures" / "workspaces" / "sample"
COLUMNS, ROWS = 110, 30
# Enough that its bar can be seen: a plain directory, which is kept too.
BIG_MIB = 48
LIMIT = 60

# What is typed, what is said of it, and what has to be seen. `None` as command: what was begun goes on.
STEPS = [
    ("lightkeep graph add sample rag/sample", "A graph is taken into care. Its directory is named as in your shell.", "total_snapshots"),
    ("lightkeep snapshot create sample", "A snapshot: every store is audited, `consistent` says what came out.", "consistent"),
    ("lightkeep snapshot create big --source-dir rag/big", "A larger one shows how far it is. An unknown graph is registered by its first snapshot.", "ETA"),
    (None, "Its end:", "stored_bytes"),
    ("rm rag/sample/vdb_entities.json; lightkeep snapshot create sample | grep -A9 consistency", "Somebody deletes an index. The next snapshot says that the graph is damaged, and keeps what is there.", "inconsistent"),
    ("lightkeep snapshot list sample", "Both are there.", "inconsistent"),
    ("lightkeep snapshot diff sample latest", "What went away, against the one before.", "vdb_entities.json"),
    ("lightkeep status --check", "The whole picture, and in its exit code.", "GRAPH"),
    ("GOOD=$(lightkeep snapshot list sample --output json | jq -r '.[1].backup_id'); lightkeep snapshot verify sample $GOOD", "Can the one before be restored? Every byte is read, and the audit done again.", "passed"),
    ("lightkeep restore sample $GOOD", "A restore shows its plan, and asks.", "[y/N]"),
    ("y", "What stood there is kept beside it.", "Restored snapshot"),
    ("lightkeep snapshot create sample | grep consistency; lightkeep status --check", "All is well again.", "sample  healthy"),
]

HEAD = """# A tour at the terminal

<!-- made by tests/tour/run.py --write, which runs it in tmux -->

What the [command line](CLI.md) looks like: a graph is added, saved, damaged, looked at and restored. These are the screens of a real session, {columns} columns wide, without their colours.
"""


class Terminal:
    """A tmux session of its own."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.socket = str(directory / "tmux")
        shell = ["bash", "--norc", "--noprofile"]
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d", *size, "-c", str(directory), *shell]
        subprocess.run(command, check=True, env=environment)

    def tmux(self, *arguments: str) -> str:
        return subprocess.run(["tmux", "-S", self.socket, *arguments], check=True, capture_output=True, text=True).stdout

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def clear(self) -> None:
        self.tmux("send-keys", "-R", "C-l")
        self.tmux("clear-history")

    def screen(self) -> str:
        # From the history too: a screen that has scrolled is shown whole.
        return "\n".join(line.rstrip() for line in self.tmux("capture-pane", "-p", "-J", "-S", "-").rstrip().splitlines())

    def until(self, wanted: str, ended: bool) -> str:
        """The screen when it shows what is wanted, and, where the command has to be over, the prompt below."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            screen = self.screen()
            below = screen.splitlines()[-1:] == ["$"]
            if wanted in "\n".join(screen.splitlines()[1:]) and (below or not ended):
                return screen
            time.sleep(0.02)
        raise SystemExit(f"the terminal never showed {wanted!r}:\n{self.screen()}")


def shown(screen: str, place: Path) -> str:
    """A screen as it is kept: the names of temporary directories are those of a user."""
    return re.sub(re.escape(str(place)), "/srv/lightrag", screen).removesuffix("\n$").rstrip()


def tour(terminal: Terminal, place: Path) -> str:
    text = HEAD.format(columns=COLUMNS)
    for command, said, wanted in STEPS:
        asks = wanted in ("ETA", "[y/N]")
        if command is not None and command != "y":
            terminal.clear()
        if command is not None:
            terminal.type(command)
        screen = terminal.until(wanted, ended=not asks)
        text += f"\n{said}\n\n```text\n{shown(screen, place)}\n```\n"
        print(f"-- {command or '…'}: shows {wanted}")
    return text


def main() -> None:
    program = Path(os.environ["LIGHTKEEP_BIN"]).resolve()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "bin").mkdir()
        (place / "bin" / "lightkeep").symlink_to(program)
        shutil.copytree(SAMPLE, place / "rag" / "sample")
        (place / "rag" / "big").mkdir()
        with (place / "rag" / "big" / "scans.bin").open("wb") as scans:
            for _ in range(BIG_MIB):
                scans.write(os.urandom(1 << 20))
        environment = {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "HOME": name, "PS1": "$ ", "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        with Server(program, place / "server", [place]) as server:
            environment["LIGHTKEEP_ADDRESS"] = f"http://127.0.0.1:{server.grpc_port}"
            terminal = Terminal(place, environment)
            try:
                text = tour(terminal, place)
            finally:
                terminal.tmux("kill-server")
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(text)
    print("tour: all screens seen")


main()
