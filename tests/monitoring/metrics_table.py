"""The metrics of src/domain/metric/names.rs, and their table in docs/monitoring/README.md.

    metrics_table.py            writes the table between its markers
    metrics_table.py --check    exits with 1 where it is not that of names.rs

Needs Python only.
"""
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NAMES = ROOT / "src/domain/metric/names.rs"
README = ROOT / "docs/monitoring/README.md"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"


class Metric(NamedTuple):
    name: str
    type: str
    labels: tuple
    help: str


# What an instance says of itself. These are not in names.rs: each instance has its own.
PROCESS = [
    Metric("lightkeep_requests_total", "counter", ("door", "method", "code"), "Calls that were answered, by door (gRPC or REST), RPC and code"),
    Metric("lightkeep_request_duration_seconds", "histogram", ("door",), "How long calls took until they were answered"),
    Metric("lightkeep_database_connections", "gauge", ("state",), "Connections to the metadata database"),
    Metric("lightkeep_build_info", "gauge", ("version", "commit", "built"), "Always 1; the labels say what runs"),
    Metric("process_cpu_seconds_total", "counter", (), "Processor time that the process has used"),
    Metric("process_resident_memory_bytes", "gauge", (), "Memory of the process"),
    Metric("process_open_fds", "gauge", (), "Open files of the process"),
    Metric("process_max_fds", "gauge", (), "How many it may have open"),
    Metric("process_start_time_seconds", "gauge", (), "When the process was started"),
]

ENTRY = re.compile(r'[A-Z0-9_]+ = (Counter|Gauge|Histogram) (?:Sum|Min|Max) "([a-z0-9_]+)" \[((?:"[a-z_]+"(?:, )?)*)\] "((?:[^"\\]|\\.)*)";')


def of_the_fleet():
    """Those of names.rs, in their order."""
    body = re.search(r"^metrics! \{\n(.*?)^\}", NAMES.read_text(), re.M | re.S)
    if not body:
        raise SystemExit(f"{NAMES}: there is no `metrics! {{ … }}`")
    # One that this pattern does not know must not be left out in silence.
    if rest := ENTRY.sub("", body[1]).strip():
        raise SystemExit(f"{NAMES}: what is this? {rest.splitlines()[0].strip()}")
    return [
        Metric(name, kind.lower(), tuple(re.findall(r'"([a-z_]+)"', labels)), meaning.replace('\\"', '"'))
        for kind, name, labels, meaning in ENTRY.findall(body[1])
    ]


def table():
    def rows(metrics):
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            yield f"| `{metric.name}` | {metric.type} | {labels} | {metric.help.replace('|', chr(92) + '|')} |"

    head = ["| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |"]
    fleet, process = list(rows(of_the_fleet())), list(rows(PROCESS))
    return "\n".join(["Of the fleet, the same on every instance:", "", *head, *fleet, "", "Of the instance itself:", "", *head, *process])


def main():
    text = README.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{README}: the markers are missing: {BEGIN} {END}")
    new = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if sys.argv[1:] == ["--check"]:
        if new != text:
            raise SystemExit(f"{README.relative_to(ROOT)}: the table is not that of names.rs, run tests/monitoring/metrics_table.py")
    elif sys.argv[1:]:
        raise SystemExit(__doc__)
    else:
        README.write_text(new)


if __name__ == "__main__":
    main()
