"""What plain copies of a graph are worth that are made while the real LightRAG takes in documents: a measurement, not a test; README.md names its figures.

Copies are made by `cp -r`, which takes files in the order of the directory; file by file in the order of names, as restic reads; and with the status of the
documents last, as a directory may have it. Each is held against the rules of rules.py: one that is broken has a document that is called processed and lacks some of
its data, which LightRAG never mends; of documents in flight it finishes what is missing.

    plain_copies.py [--copies 52] [--documents 40]

Needs the packages of requirements.txt. `--documents`: how many are there before the first copy.
"""
import argparse
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import rules
from run import Ingestion


def by_cp(source, copy):
    """Whether all was copied; LightRAG's temporary files come and go."""
    return subprocess.run(["cp", "-r", str(source), str(copy)], capture_output=True).returncode == 0


def by_name(source, copy):
    return one_by_one(sorted(source.iterdir()), copy)


def status_last(source, copy):
    return one_by_one(sorted(source.iterdir(), key=lambda path: path.name == "kv_store_doc_status.json"), copy)


def one_by_one(files, copy):
    copy.mkdir()
    whole = True
    for path in files:
        try:
            shutil.copy2(path, copy)
        except FileNotFoundError:
            whole = False
    return whole


def judge(copy):
    """The worst that is found in a copy."""
    severities = [severity for _, severity in rules.Workspace(copy).audit()]
    return rules.SEVERITIES[max(severities)] if severities else "whole"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=52)
    parser.add_argument("--documents", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightkeep-copies-") as home:
        source = Path(home, "live")
        ingestion = Ingestion(source, Path(home, "ingest.log"))
        found = {by_cp: Counter(), by_name: Counter(), status_last: Counter()}
        try:
            ingestion.wait_for(options.documents)
            for number in range(options.copies):
                for make, results in found.items():
                    copy = Path(home, f"{make.__name__}-{number}")
                    results["failed"] += not make(source, copy)
                    results[judge(copy)] += 1
                    shutil.rmtree(copy)
        finally:
            documents = ingestion.end()
    for make, results in found.items():
        print(
            f"{make.__name__}: of {options.copies} copies while {documents} documents were taken in {results['broken']} are broken for processed documents, "
            f"{results['in_flight']} for documents in flight only, {results['warning']} have warnings, {results['whole']} are whole; "
            f"{results['failed']} lack a file that vanished"
        )


if __name__ == "__main__":
    main()
