"""What all checks of packages share."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"


def check(holds, what):
    """Ends the program unless something holds."""
    if not holds:
        sys.exit(f"FAILED: {what}")


def run(*command, **more):
    """Runs a program to its end; what it says stands in the error when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    check(done.returncode == 0, f"{' '.join(str(word) for word in command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def program(name):
    """A program that a Python package brought."""
    return Path(sys.executable).parent / name
