"""Copies of snapshots over a real network: two network namespaces with a cable between them, an instance in each.

    run.py [PROGRAM] [--only wire,cuts,kills,swallowed,flip] [--seed 1] [--keep]

Needs root, iproute2, restic, the program as argument or in LIGHTKEEP_BIN, and the packages of tests/lightrag/requirements.txt. What is done follows from the seed;
where a cut meets a transfer does not. The kernel hands packets of a veth pair over up to 64 KB at once: the counters hold one header of 66 bytes for each such
piece, and not one for each 1,448 bytes as on a real cable. In the step `cuts` each packet goes for itself.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from cuts import cut_again_and_again
from flip import flip_a_bit
from kills import kill_at_each_fail_point
from network import Network, NotPermitted
from pair import Failed
from swallowed import one_hole_among_five
from wire import only_what_is_new

STEPS = {
    "wire": only_what_is_new, "cuts": cut_again_and_again, "kills": kill_at_each_fail_point, "swallowed": one_hole_among_five, "flip": flip_a_bit,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=os.environ.get("LIGHTKEEP_BIN", ""))
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the directory, to look into it")
    options = parser.parse_args()
    binary = Path(options.program).absolute()
    if not options.program or not binary.is_file():
        print(f"no lightkeep program, set `LIGHTKEEP_BIN`: {options.program}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    started, skipped = time.monotonic(), 0
    try:
        with Network():
            pass
    except NotPermitted as error:
        print(f"skipped: {error}")
        return 0
    home = Path(tempfile.mkdtemp(prefix="lightkeep-replication-"))
    try:
        for name in options.only.split(","):
            began = time.monotonic()
            try:
                with Network() as network:
                    measured = STEPS[name](network, binary, home / name, options)
            except NotPermitted as error:
                measured, skipped = f"skipped: {error}", skipped + 1
            print(f"{name}: {measured} ({time.monotonic() - began:.0f} s)", flush=True)
    except Exception as error:
        print(f"FAILED {name}: {error if isinstance(error, Failed) else repr(error)}", flush=True)
        if not isinstance(error, Failed):
            traceback.print_exc()
        return 1
    finally:
        if options.keep:
            print(f"kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    print(f"replication over a real network: all well, {skipped} skipped, after {time.monotonic() - started:.0f} s (seed {options.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
