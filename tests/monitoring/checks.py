"""Holds docs/monitoring and docs/RUNBOOKS.md against promtool, names.rs, the API and each other. Called by `run`."""
import json
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import yaml

from metrics_table import PROCESS, ROOT, of_the_fleet
from promql import grouped, uses

MONITORING = ROOT / "docs/monitoring"
RULES, TESTS, DASHBOARD = MONITORING / "lightkeep.rules.yml", MONITORING / "lightkeep.rules.test.yml", MONITORING / "grafana.json"
RUNBOOKS = ROOT / "docs/RUNBOOKS.md"
# What Prometheus itself adds to series, and the label that tells fleets apart.
TARGET_LABELS = {"fleet", "job", "instance"}
# What Prometheus makes of alerts: their labels, and those of their series.
ALERTS_LABELS = {"alertname", "alertstate", "severity", "service", "graph", "target", "schedule", "kind", "component", "component_type", "lease"}
# Instants that each instance has of its own.
OF_AN_INSTANCE = {"lightkeep_collection_timestamp_seconds"}
# Of several schedules of a graph the shortest counts.
INTERVAL = "lightkeep_schedule_expected_interval_seconds"

problems = []


def problem(text):
    problems.append(text)
    print(f"WRONG: {text}", file=sys.stderr)


def promtool(*arguments, directory=MONITORING):
    done = subprocess.run(["promtool", *arguments], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        problem(f"promtool {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def series_of(metric):
    """Names and labels of the series that a metric is served as."""
    if metric.type != "histogram":
        return {metric.name: {*metric.labels}}
    return {f"{metric.name}_bucket": {*metric.labels, "le"}, f"{metric.name}_sum": {*metric.labels}, f"{metric.name}_count": {*metric.labels}}


FLEET = {name: labels for metric in of_the_fleet() for name, labels in series_of(metric).items()}
OWN = {name: labels for metric in PROCESS for name, labels in series_of(metric).items()}
KNOWN = FLEET | OWN
GAUGES = {metric.name for metric in [*of_the_fleet(), *PROCESS] if metric.type == "gauge"}


def check_expression(where, expression, known):
    """Each metric exists, with the labels that are asked of it; those of the fleet are aggregated over instances first; only what grows has a rate."""
    possible = set(TARGET_LABELS)
    for use in uses(expression):
        labels = known.get(use.metric)
        if labels is None:
            problem(f"{where}: there is no metric {use.metric}")
            continue
        possible |= labels
        for label in set(use.matched) - labels - TARGET_LABELS:
            problem(f"{where}: {use.metric} has no label {label}")
        if use.metric in FLEET and use.aggregated != ("min" if use.metric == INTERVAL else "max"):
            problem(f"{where}: {use.metric} is the same on all instances, take `max by (fleet, …)` of it at once (of intervals the `min`)")
        if use.metric in KNOWN and use.rate == (use.metric in GAUGES):
            problem(f"{where}: {use.metric} {'is a gauge' if use.rate else 'only grows'}: {expression}")
        if use.metric in FLEET and use.metric not in OF_AN_INSTANCE and "instance" in grouped(expression):
            problem(f"{where}: {use.metric} must not be grouped by instance")
    for label in set(grouped(expression)) - possible:
        problem(f"{where}: no metric in it has the label {label}")


def check_rules():
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        check_expression(rule.get("alert") or rule["record"], rule["expr"], KNOWN)
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    if len(alerts) != sum("alert" in rule for rule in rules):
        problem("two alerts have one name")
    sections = re.findall(r"^## (\S+)$", RUNBOOKS.read_text(), re.M)
    for name, rule in alerts.items():
        annotations = rule.get("annotations", {})
        if not (annotations.get("summary") and annotations.get("description")):
            problem(f"{name}: no summary or description")
        if annotations.get("runbook_url") != f"docs/RUNBOOKS.md#{name.lower()}":
            problem(f"{name}: its runbook_url is {annotations.get('runbook_url')}")
        if rule.get("labels", {}).get("severity") not in ("warning", "critical"):
            problem(f"{name}: its severity is neither warning nor critical")
        if rule.get("labels", {}).get("service") != "lightkeep":
            problem(f"{name}: the label `service` is missing, by which the dashboard finds it")
    if sections != [*alerts]:
        problem(f"docs/RUNBOOKS.md has not one section for each alert, in their order: {set(sections) ^ set(alerts) or 'another order'}")
    check_tests(alerts)
    return alerts


def check_tests(alerts):
    """Each alert has a group of two instances in which it fires in one case, and in another it does not."""
    proven = set()
    for group in yaml.safe_load(TESTS.read_text())["tests"]:
        instances = {found for series in group["input_series"] for found in re.findall(r'instance="(\w+)"', series["series"])}
        cases = [(case["alertname"], bool(case["exp_alerts"])) for case in group.get("alert_rule_test", [])]
        if len(instances) > 1:
            proven |= {name for name, fires in cases if fires and (name, False) in cases}
    for name in [name for name in alerts if name not in proven]:
        problem(f"{TESTS.name}: {name} needs a group of two instances in which it fires once and once does not")


def panels_of(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def check_dashboard():
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    expressions = []
    taken = {}
    if len({panel["id"] for panel in panels_of(dashboard)}) != len([*panels_of(dashboard)]):
        problem("grafana.json: two panels have one id")
    for panel in panels_of(dashboard):
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            problem(f"grafana.json: {panel['title']} is too wide")
        for cell in product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])):
            if taken.setdefault(cell, panel["id"]) != panel["id"]:
                problem(f"grafana.json: {panel['title']} lies on another panel")
                break
        for target in panel.get("targets", []):
            where = f"grafana.json, {panel['title']} {target['refId']}"
            check_expression(where, target["expr"], KNOWN | {"ALERTS": ALERTS_LABELS})
            for used in set(re.findall(r"\$\{?(\w+)", target["expr"])) - variables - {"__rate_interval", "__interval", "__range"}:
                problem(f"{where}: there is no variable {used}")
            for source in (panel, target):
                if source["datasource"]["uid"] != "${datasource}":
                    problem(f"{where}: its data source is not the variable")
            expressions.append((where, target["expr"]))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            for name in re.findall(r"light[a-z]+_\w+", selector):
                if label not in KNOWN.get(name, set()) | TARGET_LABELS:
                    problem(f"grafana.json, variable {variable['name']}: {name} has no label {label}, or there is no such metric")
    answer_something(expressions)


def answer_something(expressions):
    """Asks each expression of series of all metrics on two instances: one that is not valid, joins what does not fit, or asks for a label that nothing has,
    has no answer."""
    values = {"graph": ["tales", "letters"], "lease": ["scheduler"], "alertstate": ["firing"], "service": ["lightkeep"], "severity": ["critical", "warning"]}
    series = []
    for name, labels in {**KNOWN, "ALERTS": ALERTS_LABELS}.items():
        for instance in ("a", "b"):
            known = {"job": ["lightkeep"], "instance": [instance], **{label: values.get(label, [f"some {label}"]) for label in labels - {"le"}}}
            for combination in product(*known.values()):
                text = ", ".join(f'{label}="{value}"' for label, value in zip(known, combination))
                if name.endswith("_bucket"):
                    series += [{"series": f'{name}{{{text}, le="{le}"}}', "values": f"0+{count}x120"} for le, count in (("0.1", 1), ("1", 2), ("+Inf", 3))]
                else:
                    series.append({"series": f"{name}{{{text}}}", "values": "1x120" if name in GAUGES or name == "ALERTS" else "0+7x120"})
    asked = []
    for where, expression in expressions:
        for variable, value in (("$__rate_interval", "5m"), ("$__interval", "10m"), ("$__range", "1h"), ("$fleet", ".*"), ("$graph", ".*")):
            expression = expression.replace(variable, value)
        # A sum of nothing is no answer either; `or vector(0)` would hide it.
        asked.append({"expr": f"count({expression.removesuffix(' or vector(0)')}) > bool 0", "eval_time": "90m", "exp_samples": [{"labels": "{}", "value": 1}]})
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "dashboard.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]}))
        promtool("test", "rules", "dashboard.yml", directory=directory)


def check_names_in_documents():
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text()))
    for document in (RUNBOOKS, MONITORING / "README.md"):
        for name in set(re.findall(r"`((?:lightkeep|lightrag|process)[_:][a-z_]+)[`{]", document.read_text())):
            if name not in KNOWN and name not in recorded and name not in {metric.name for metric in of_the_fleet() + PROCESS}:
                problem(f"{document.relative_to(ROOT)}: there is no metric {name}")


def check_links():
    """What the documents refer to is there: files, and their headings."""
    for document in (RUNBOOKS, MONITORING / "README.md"):
        for path, heading in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", document.read_text()):
            file = (document.parent / path).resolve() if path else document
            if file.is_dir() or not file.exists():
                problem(f"{document.relative_to(ROOT)}: there is no {path}")
            elif heading and heading not in {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", file.read_text(), re.M)}:
                problem(f"{document.relative_to(ROOT)}: {path} has no heading {heading}")


def check_commands():
    """The paths and methods of the commands in the runbooks are those of docs/REFERENCE.md and of the protos."""
    text = RUNBOOKS.read_text()
    routes = []
    for rpc, cell in re.findall(r"^\| (\S+) \| ((?:`[A-Z]+ /?\S+`.*)) \|$", (ROOT / "docs/REFERENCE.md").read_text(), re.M):
        method = ""
        for named, path in re.findall(r"`(?:(GET|POST|PUT|PATCH|DELETE) )?(/[^`]*)`", cell):
            method = named or method
            parts = path.split("/")
            pattern = "/".join(".+" if part.endswith("=**}") else "[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
            routes.append((rpc, method, re.compile(pattern)))
    proto = [path.read_text() for path in (ROOT / "proto/lightkeep/v1").glob("*.proto")]
    fields = {message: set(re.findall(r"(\w+) = \d+", body)) for one in proto for message, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", one, re.M | re.S)}
    requests = {
        f"{service}/{rpc}": fields.get(request, set())
        for one in proto for service, body in re.findall(r"^service (\w+) \{\n(.*?)^\}", one, re.M | re.S) for rpc, request in re.findall(r"rpc (\w+)\((\w+)\)", body)
    }
    roots = dict(re.findall(r"^([A-Z])=http://[^/]+(/\S*)$", text, re.M)) | {"H": ""}
    in_blocks = [line.split(" #")[0] for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    commands = [command for command in in_blocks + re.findall(r"`(curl [^`]*)`", text) if command.startswith("curl ") and "<base_url>" not in command]
    for command in commands:
        found = re.search(r"(?:\$([A-Z])|http://127\.0\.0\.1:9721)(/[^\s\"?]*)?(?:\?([^\s\"]*))?", command)
        if ":9091/metrics" in command:
            continue
        if not found or (found[1] or "H") not in roots:
            problem(f"docs/RUNBOOKS.md: which path is that? {command}")
            continue
        explicit = re.search(r"-X (\w+)", command)
        method = explicit[1] if explicit else "POST" if " -d " in command else "GET"
        path = roots[found[1] or "H"] + (found[2] or "")
        fitting = [rpc for rpc, allowed, pattern in routes if method == allowed and pattern.fullmatch(path)]
        if not fitting:
            problem(f"docs/RUNBOOKS.md: {method} {path} is not in docs/REFERENCE.md")
            continue
        for parameter in re.findall(r"(\w+)=", found[3] or ""):
            if parameter not in requests.get(fitting[0], ""):
                problem(f"docs/RUNBOOKS.md: {fitting[0]} has no {parameter}: {command}")
        if body := re.search(r" -d '([^']*)'", command):
            try:
                json.loads(body[1])
            except ValueError as error:
                problem(f"docs/RUNBOOKS.md: {error}: {command}")
    called = re.findall(r"lightkeep\.v1\.(\w+/\w+)", text)
    for call in set(called) - set(requests):
        problem(f"docs/RUNBOOKS.md: there is no RPC {call}")
    return len(commands), len(called)


def main():
    promtool("check", "rules", RULES.name)
    promtool("test", "rules", TESTS.name)
    alerts = check_rules()
    check_dashboard()
    check_names_in_documents()
    check_links()
    commands, calls = check_commands()
    if subprocess.run([sys.executable, Path(__file__).with_name("metrics_table.py"), "--check"]).returncode:
        problems.append("table")
    if problems:
        raise SystemExit(f"tests/monitoring: {len(problems)} problems")
    print(f"{len(alerts)} alerts, {len(KNOWN)} series, {commands} commands and {calls} calls of the runbooks: all well")


if __name__ == "__main__":
    main()
