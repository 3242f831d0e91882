"""One shell for all commands of a document, so that what one sets the next ones have."""
import os
import select
import shlex
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LONGEST = 120  # seconds for a block

# Commands that match a pattern are not run but written down; what fails is written down too. Both by bash itself, for each simple command.
PRELUDE = r"""
set -o pipefail -ET
shopt -s extdebug
docs_elsewhere() {
    local pattern
    while IFS= read -r pattern; do
        [[ "$1" == $pattern ]] || continue
        printf '%s\t%s\0' "$pattern" "$1" >>"$DOCS_STATE/elsewhere"
        return 0
    done <"$DOCS_STATE/patterns"
    return 1
}
# For comments `run first`: from now on the commands are for the machine with another address, as `machine 127.0.0.3` for paris.
machine() {
    export DOCS_MACHINE="$1" LIGHTKEEP_ADDRESS="http://$1:50051"
    [ "$1" != 127.0.0.1 ] || unset DOCS_MACHINE LIGHTKEEP_ADDRESS
}
docs_failed() {
    case "$2" in "source $DOCS_STATE/"*) return 0 ;; esac
    printf '%s\t%s\0' "$1" "$2" >>"$DOCS_STATE/failed"
}
trap '! docs_elsewhere "$BASH_COMMAND"' DEBUG
trap 'docs_failed "$?" "$BASH_COMMAND"' ERR
"""


class Stuck(Exception):
    """A command has not ended in time, or the shell has."""


@dataclass
class Ran:
    output: str
    failed: list[str]  # what each command that failed says
    elsewhere: list[tuple[str, str]]  # the pattern and the command


class Session:
    """A bash that runs one block after the other; `state` is a directory of its own."""

    def __init__(self, state: Path, directory: Path, environment: Mapping[str, str], elsewhere: list[str]):
        self.state, self.count = state, 0
        state.mkdir(parents=True, exist_ok=True)
        (state / "patterns").write_text("".join(f"{pattern}\n" for pattern in elsewhere))
        reader, writer = os.pipe()
        self.answers = reader
        self.bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, text=True, cwd=directory, env={**environment, "DOCS_STATE": str(state)}, pass_fds=(writer,),
            start_new_session=True,
        )
        self.writer = writer
        os.close(writer)
        self.run(PRELUDE)

    def run(self, text: str) -> Ran:
        """Runs a block to its end, whatever in it fails."""
        self.count += 1
        block, output = self.state / f"block-{self.count}", self.state / f"output-{self.count}"
        block.write_text(text)
        for name in ("failed", "elsewhere"):
            (self.state / name).unlink(missing_ok=True)
        assert self.bash.stdin is not None
        try:
            self.bash.stdin.write(f"source {shlex.quote(str(block))} >{shlex.quote(str(output))} 2>&1 </dev/null {self.writer}>&-\necho done >&{self.writer}\n")
            self.bash.stdin.flush()
        except BrokenPipeError as error:
            raise Stuck("the shell has ended") from error
        end = time.monotonic() + LONGEST
        if not select.select([self.answers], [], [], max(0, end - time.monotonic()))[0]:
            raise Stuck(f"it has not ended within {LONGEST} s: {output.read_text(errors='replace')[-500:]}")
        if not os.read(self.answers, 100):
            raise Stuck(f"the shell has ended: {output.read_text(errors='replace')[-500:]}")
        failed = [f"exit {status}: {command}" for status, command in self.noted("failed")]
        return Ran(output.read_text(errors="replace"), list(dict.fromkeys(failed)), self.noted("elsewhere"))

    def noted(self, name: str) -> list[tuple[str, str]]:
        path = self.state / name
        found = path.read_text().split("\0") if path.exists() else []
        return [(first, rest) for first, _, rest in (line.partition("\t") for line in found if line)]

    def close(self) -> None:
        self.bash.kill()
        self.bash.communicate()
        os.close(self.answers)
