"""A stock Prometheus scrapes a real server by the shipped rules, whose waits alone are shortened: alerts fire when something is wrong and go when it is mended, and a killed server comes back with all its figures.

    LIGHTKEEP_BIN=target/debug/lightkeep tests/monitoring/live.py [--keep]

Needs the Debian package prometheus. Waits for conditions, never for a time to pass; the longest is 1.5 times the shortest interval that a schedule may have, 90 s.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lightrag"), str(ROOT / "tests/replication")]
from pair import Failed, expect, until  # noqa: E402
from prom import Prometheus, scaled  # noqa: E402
from server import Server  # noqa: E402

SAMPLE = ROOT / "tests/fixtures/workspaces/sample"
RULES = ROOT / "docs/monitoring/lightkeep.rules.yml"
PEER, PEER_KEY, KEY = "berlin", "peer-key-of-berlin-0123456789", "key-of-the-operator-0123456789"
GRAPHS, SCHEDULE, REPLICATION = "/api/backup/backup/graphs", "/api/backup/backup/schedule", "/api/backup/replication"
SHORTEST_INTERVAL = 60  # seconds; what the API takes
OBJECTIVE = 6  # seconds
WAIT = "2s"  # instead of every `for:`
OPENMETRICS = "application/openmetrics-text"
ACCEPT = f"{OPENMETRICS};version=1.0.0,{OPENMETRICS};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # of Prometheus 2.42
# Gauges whose names the old server's contract fixes: promtool does not like them.
OLD_GAUGES = {"lightrag_graphs_total", "lightrag_graph_entities_total", "lightrag_graph_relations_total", "lightrag_recovery_points_total"}
LAST_SUCCESS = ("lightkeep_backup_last_success_timestamp_seconds", "lightkeep_replication_last_success_timestamp_seconds")
EXPECTED = {"BackupTooOld", "RpoBreach", "ReplicationLag", "TargetDown", "ComponentUnhealthy", "LightkeepDown"}
# Whether these fire depends on the disk of this computer, and on how long its start takes now that no alert waits.
OF_THIS_COMPUTER = {"TargetFull", "StorageFull", "SchedulerDead"}

started = time.monotonic()


def proven(text):
    print(f"  {time.monotonic() - started:5.1f} s  {text}", flush=True)


class Instance(Server):
    """A `lightkeep serve` that wants a key where one is given."""

    def __init__(self, binary, home, data, password, key=None, environment=None):
        self.key = key
        common = {"LIGHTKEEP_REPOSITORY_PASSWORD_FILE": str(password), "LIGHTKEEP_PEER_KEYS": f"{PEER}:{PEER_KEY}"}
        super().__init__(binary, home, [data], common | ({"LIGHTRAG_API_KEY": key} if key else {}) | (environment or {}))
        self.metrics = self.environment["LIGHTKEEP_METRICS_ADDR"]

    def request(self, method, path, body=None, raw=False, headers=None):
        return super().request(method, path, body, raw, ({"x-api-key": self.key} if self.key else {}) | (headers or {}))

    def take(self, graph, source):
        answer = self.snapshot(graph, source)
        expect("a snapshot is completed", answer["status"] == "completed", answer)

    def page(self, accept="text/plain"):
        """What the listener of metrics tells: the format, and the page."""
        request = urllib.request.Request(f"http://{self.metrics}/metrics", headers={"accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["content-type"], answer.read().decode()


class Live:
    """Source, target and Prometheus, and what is proven of them, in this order."""

    def __init__(self, source, target, prometheus, data):
        self.source, self.target, self.prometheus, self.data = source, target, prometheus, data

    def fires(self, name, limit, **labels):
        until(f"{name} fires", lambda: self.prometheus.firing(name, **labels), limit, lambda: self.prometheus.get("alerts"))
        proven(f"{name} fires {labels or ''}")

    def resolves(self, name, limit, **labels):
        until(f"{name} resolves", lambda: not self.prometheus.firing(name, **labels), limit, lambda: self.prometheus.get("alerts"))
        proven(f"{name} resolves")

    def set_up(self):
        """`tales` has the shortest schedule, `letters` a short objective; both go to the target."""
        for graph, objectives in (("tales", None), ("letters", {"rpo_seconds": OBJECTIVE})):
            body = {"graph_id": graph, "source_dir": str(self.data / graph)} | ({"objectives": objectives} if objectives else {})
            self.source.request("POST", GRAPHS, body)
            schedule = {"graph_id": graph, "interval_seconds": SHORTEST_INTERVAL if graph == "tales" else 24 * 3600}
            self.schedule = self.source.request("POST", SCHEDULE, schedule)
            if graph == "tales":
                # By its schedule, so that there is a series of it.
                self.tales = self.schedule["schedule_id"]
                self.source.request("POST", f"/api/backup/backup/schedules/{self.tales}/run", {})
                until("the schedule has run", lambda: self.good_runs() >= 1)
        body = {"name": "second", "base_url": f"http://127.0.0.1:{self.target.http_port}", "api_key": PEER_KEY}
        self.source.request("POST", f"{REPLICATION}/targets", body)
        self.source.take("letters", self.data / "letters")
        self.in_step()
        # From now on nothing saves it.
        self.source.request("POST", f"/api/backup/backup/schedules/{self.tales}/pause", {})
        self.stopped_at = time.time()

    def good_runs(self):
        runs = self.source.request("GET", f"/api/backup/backup/schedules/{self.tales}/runs")
        return sum(each["result"] == "succeeded" for each in (runs if isinstance(runs, list) else runs["runs"]))

    def lag(self, graph):
        [replica] = self.source.request("GET", f"{REPLICATION}/graphs/{graph}/status")["replicas"]
        return replica["lag_snapshots"]

    def in_step(self, limit=60):
        until("the target has all snapshots", lambda: self.lag("tales") == 0 and self.lag("letters") == 0, limit)

    def pages(self):
        """promtool finds nothing on both pages but the names that are as old as the contract."""
        told, text = self.source.page()
        expect("who asks for text gets it", told.startswith("text/plain; version=0.0.4"), told)
        behind_key = self.source.request("GET", "/api/monitoring/metrics/prometheus", raw=True)
        expect("the page is on the HTTP port too", behind_key[0] == 200, behind_key)
        for name, page in ((f"port {self.source.metrics}", text), ("the HTTP port", behind_key[1].decode())):
            done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
            complaints = {line.split()[0]: line for line in (done.stdout + done.stderr).splitlines() if line.strip()}
            expect(f"promtool likes the page of {name}", set(complaints) == OLD_GAUGES, list(complaints.values()))
            expect("and not for another reason", all("_total" in line.split(" ", 1)[1] for line in complaints.values()), complaints)
        told, text = self.source.page(ACCEPT)
        expect("Prometheus gets OpenMetrics", told.startswith(f"{OPENMETRICS}; version=1.0.0"), told)
        expect("it has an end", text.endswith("# EOF\n"), text[-100:])
        proven(f"promtool check metrics: two pages, nothing but the {len(OLD_GAUGES)} old names; Prometheus is given OpenMetrics")

    def scraped(self):
        """Both ways that the README tells of are up, without an error, and what came was parsed as OpenMetrics."""

        def up():
            targets = self.prometheus.targets()
            return len(targets) == 2 and all(each["health"] == "up" and not each["lastError"] for each in targets.values())

        until("both targets are up", up, 20, self.prometheus.targets)
        expect("`up` says so", self.prometheus.query('up{job="lightkeep"}')[0][1] == 1)
        until("series are there", lambda: self.prometheus.query("lightkeep_graph_protected_timestamp_seconds"), 20)
        series = self.prometheus.query('scrape_samples_scraped{job="lightkeep"}')[0][1]
        counters = self.prometheus.families("lightkeep", "counter")
        # In the older format the family has the suffix too.
        expect("it was parsed as OpenMetrics", "lightkeep_backup_runs" in counters and "lightkeep_backup_runs_total" not in counters, counters)
        rules = until("all rules were evaluated", lambda: all(rule["health"] == "ok" for rule in self.prometheus.rules()) and self.prometheus.rules(), 20)
        proven(f"Prometheus scrapes {series:.0f} series as OpenMetrics, without and with a key, and evaluates {len(rules)} rules")
        self.scraped_at = time.time()

    def target_goes(self):
        """The target is killed: it is down, and behind after the next snapshot. It comes again: neither."""
        self.target.kill()
        (self.data / "letters/kv_store_notes.json").write_text('{"one": "more"}')
        self.source.take("letters", self.data / "letters")
        self.fires("TargetDown", 30, target="second")
        self.fires("RpoBreach", 30 + OBJECTIVE, graph="letters")
        self.fires("ReplicationLag", 30 + OBJECTIVE, graph="letters", target="second")
        expect("only what was saved anew is behind", not self.prometheus.firing("ReplicationLag", graph="tales"))
        self.target.__enter__()
        self.resolves("TargetDown", 30, target="second")
        self.resolves("ReplicationLag", 60, graph="letters")
        self.in_step()
        self.source.take("letters", self.data / "letters")
        self.resolves("RpoBreach", OBJECTIVE)

    def figures(self):
        """All counters by their series, and the instants of the last successes."""
        counters, instants = {}, {}
        _, text = self.source.page(ACCEPT)
        kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M))
        for series, name, value in re.findall(r"^((light\w+)(?:\{.*\})?) (\S+)$", text, re.M):
            family = re.sub(r"_(total|bucket|count|sum)$", "", name)
            if kinds.get(family) in ("counter", "histogram") and family not in ("lightkeep_requests", "lightkeep_request_duration_seconds"):
                counters[series] = float(value)
            elif name in LAST_SUCCESS:
                instants[series] = float(value)
        return counters, instants

    def killed(self):
        """kill -9 and a new start: the first page that is served has all figures, and none of the counters is less."""
        before, instants = self.figures()
        expect("there is something to lose", len(instants) >= 4 and sum(value > 0 for value in before.values()) > 10, (instants, before))
        self.source.kill()
        self.fires("LightkeepDown", 30)
        self.source.__enter__()
        after, again = self.figures()
        self.resolves("LightkeepDown", 30)
        expect("no counter is missing after the start", before.keys() <= after.keys(), before.keys() - after.keys())
        fallen = {series: (value, after[series]) for series, value in before.items() if after[series] < value}
        expect("no counter has fallen", not fallen, fallen)
        expect("the instants of the last successes are there", all(again.get(series, 0) >= at for series, at in instants.items()), (instants, again))
        proven(f"kill -9: {len(before)} series of counters are not less, {len(instants)} instants are in the first page")

    def forgotten(self):
        """Nobody saves `tales` any more, until somebody does."""
        self.fires("BackupTooOld", 1.5 * SHORTEST_INTERVAL + 30, graph="tales")
        age = time.time() - self.prometheus.query('max(lightkeep_graph_protected_timestamp_seconds{graph="tales"})')[0][1]
        expect("it fires no sooner than it is to", age > 1.5 * SHORTEST_INTERVAL, age)
        expect("that it is paused is not a missed run", not self.prometheus.firing("ScheduleMissed"))
        self.source.take("tales", self.data / "tales")
        self.resolves("BackupTooOld", 30)

    def looked_back(self):
        """What Prometheus has kept of all that time."""
        counters, histograms = (self.prometheus.families("lightkeep", kind) for kind in ("counter", "histogram"))
        names = [f"{name}_total" for name in counters] + [f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")]
        names = [name for name in names if name.startswith("light") and not re.match("lightkeep_request(s|_duration)_", name)]
        expect("there are counters", len(names) > 20, names)
        fallen = {name: fell for name in names if (fell := self.prometheus.query(f'resets({name}{{job="lightkeep"}}[10m]) > 0'))}
        expect("Prometheus has seen no counter fall", not fallen, fallen)
        for metric in ("lightkeep_backup_last_success_timestamp_seconds", "lightkeep_graph_protected_timestamp_seconds"):
            gaps = self.prometheus.over(f'(up{{job="lightkeep"}} == 1) unless on (instance) count by (instance) ({metric})', self.scraped_at)
            expect(f"each scrape that went well has {metric}", not gaps, gaps)
        fired = {each["metric"]["alertname"] for each in self.prometheus.over('ALERTS{alertstate="firing"}', self.scraped_at)}
        expect("all alerts fired that were to, and no others", EXPECTED <= fired <= EXPECTED | OF_THIS_COMPUTER, sorted(fired))
        bad = [rule for rule in self.prometheus.rules() if rule["health"] != "ok"]
        expect("all rules are well to the end", not bad, bad)
        proven(f"in all that time: {len(names)} names of counters without a reset, no scrape without instants, and only {', '.join(sorted(fired))}")


def run(binary, home):
    data, password, key = home / "data", home / "password", home / "key"
    for graph in ("tales", "letters"):
        shutil.copytree(SAMPLE, data / graph)
    password.write_text("one password for both")
    key.write_text(KEY)
    settings = {
        "LIGHTKEEP_REPLICATION_ALLOW_HTTP": "true", "LIGHTRAG_REPLICATION_HEALTH_CHECK_INTERVAL": "1", "LIGHTRAG_METRICS_COLLECTION_INTERVAL_SECONDS": "1",
    }
    target = Instance(binary, home / "target", data, password)
    source = Instance(binary, home / "source", data, password, KEY, settings)
    jobs = [
        {"job_name": "lightkeep", "static_configs": [{"targets": [source.metrics]}]},
        # The other way that the README tells of. Only whether it works is wanted: its series would be there twice.
        {
            "job_name": "behind the key", "metrics_path": "/api/monitoring/metrics/prometheus", "static_configs": [{"targets": [f"127.0.0.1:{source.http_port}"]}],
            "authorization": {"type": "Bearer", "credentials_file": str(key)}, "metric_relabel_configs": [{"regex": ".*", "action": "drop", "source_labels": ["__name__"]}],
        },
    ]
    with target, source:
        live = Live(source, target, Prometheus(home / "prometheus", scaled(RULES.read_text(), WAIT), jobs), data)
        live.set_up()
        with live.prometheus:
            live.scraped()
            live.pages()
            live.target_goes()
            live.killed()
            live.forgotten()
            live.looked_back()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("LIGHTKEEP_BIN", ROOT / "target/debug/lightkeep"))
    parser.add_argument("--keep", action="store_true", help="keep the files of the run")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="lightkeep-live-"))
    try:
        run(Path(options.binary).resolve(), home)
    except Failed as failure:
        raise SystemExit(f"tests/monitoring/live.py failed: {failure}") from None
    finally:
        if options.keep:
            print(f"kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    print(f"alerts fire and resolve on a live server: all well after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
