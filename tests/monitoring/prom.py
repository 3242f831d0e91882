"""A stock Prometheus of one's own, on a free port, and what can be asked of it."""
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lightrag"))
from server import free_ports  # noqa: E402


def scaled(rules, wait):
    """The rules with short waits, evaluated each second; everything else as it is shipped."""
    text, waits = re.subn(r"^( +for:) \w+$", rf"\1 {wait}", rules, flags=re.M)
    text, groups = re.subn(r"^  - name: (.+)$", r"  - name: \1\n    interval: 1s", text, flags=re.M)
    if not waits or not groups:
        raise RuntimeError("the rules have no waits or no groups any more")
    return text


class Prometheus:
    """Runs while it is entered."""

    def __init__(self, home, rules, jobs):
        self.home, [self.port] = home, free_ports(1)
        self.log = home / "prometheus.log"
        home.mkdir(parents=True)
        (home / "lightkeep.rules.yml").write_text(rules)
        settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["lightkeep.rules.yml"], "scrape_configs": jobs,
        }
        (home / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML

    def __enter__(self):
        words = [
            "prometheus", f"--config.file={self.home}/prometheus.yml", f"--storage.tsdb.path={self.home}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"Prometheus does not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """Labels and value of each series."""
        return [(each["metric"], float(each["value"][1])) for each in self.get("query", query=expression)["result"]]

    def over(self, expression, start):
        """The series that an expression had at any second since then."""
        return self.get("query_range", query=expression, start=start, end=time.time(), step=1)["result"]

    def firing(self, name, **labels):
        """The alerts of a name that fire now, with these labels."""
        alerts = [each["labels"] for each in self.get("alerts")["alerts"] if each["state"] == "firing"]
        return [each for each in alerts if each["alertname"] == name and labels.items() <= each.items()]

    def rules(self):
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def targets(self):
        return {each["labels"]["job"]: each for each in self.get("targets")["activeTargets"]}

    def families(self, job, kind):
        """The metrics of a kind that a job is told of, by the names that the format has for them."""
        told = self.get("targets/metadata", match_target=f'{{job="{job}"}}')
        return {each["metric"] for each in told if each["type"] == kind}
