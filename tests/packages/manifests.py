"""Checks the manifests of Kubernetes: their schemas, and that what they name is there."""
import json
import re
import shutil

import kubernetes_validate
import yaml
from common import DEPLOY, ROOT, check, run

MANIFESTS = DEPLOY / "kubernetes"


def objects(directory):
    """All objects of a kustomization, those of the ones that it builds on too."""
    for name in yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]:
        place = (directory / name).resolve()
        if place.is_dir():
            yield from objects(place)
        else:
            yield from yaml.safe_load_all(place.read_text())


def check_all(version):
    """Both variants, and the monitor of the operator."""
    for variant in ("sqlite", "postgresql"):
        _variant(MANIFESTS / variant, version)
    monitor = yaml.safe_load((MANIFESTS / "monitoring" / "servicemonitor.yaml").read_text())
    service = next(each for each in objects(MANIFESTS / "base") if each["kind"] == "Service")
    ports = {port["name"] for port in service["spec"]["ports"]}
    check(all(endpoint["port"] in ports for endpoint in monitor["spec"]["endpoints"]), "the ServiceMonitor names a port that the service does not have")
    check(monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items(), "the ServiceMonitor does not find the service")


def _variant(directory, version):
    found = list(objects(directory))
    secret = yaml.safe_load((directory / "secret.example.yaml").read_text())
    for each in [*found, secret]:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    if shutil.which("kubectl"):
        rendered = list(yaml.safe_load_all(run("kubectl", "kustomize", directory)))
        check(_sorted(rendered) == _sorted(found), f"kubectl makes something else of {directory.name}")
    by_kind = {each["kind"]: each for each in found}
    pods = by_kind["StatefulSet"]["spec"]["template"]
    container = pods["spec"]["containers"][0]
    check(container["image"] == f"lightkeep:{version}", f"{directory.name} has another image: {container['image']}")
    # Kubernetes would set LIGHTKEEP_PORT, which the server refuses: tests/packages/image shows that it does.
    check(pods["spec"]["enableServiceLinks"] is False, f"{directory.name}: the variables of services reach the server")
    labels = pods["metadata"]["labels"].items()
    check(by_kind["Service"]["spec"]["selector"].items() <= labels, f"{directory.name}: the service finds no pod")
    check(by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels, f"{directory.name}: the policy finds no pod")
    ports = {port["name"] for port in container["ports"]}
    wanted = {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]}
    wanted |= {port["port"] for rule in by_kind["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    wanted |= {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    check(wanted <= ports, f"{directory.name} names ports that no container has: {wanted - ports}")
    claims = [claim["metadata"]["name"] for claim in by_kind["StatefulSet"]["spec"].get("volumeClaimTemplates", [])]
    volumes = {volume["name"] for volume in pods["spec"]["volumes"]} | set(claims)
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    check(mounts == volumes, f"{directory.name}: mounted are {mounts}, there are {volumes}")
    keys = {each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"] if "secretKeyRef" in each.get("valueFrom", {})}
    keys |= {item["key"] for volume in pods["spec"]["volumes"] for item in volume.get("secret", {}).get("items", [])}
    check(keys == set(secret["stringData"]), f"{directory.name} takes {keys} of its secret, the example has {set(secret['stringData'])}")
    _job(by_kind["StatefulSet"], volumes)
    print(f"kubernetes {directory.name}: {len(found)} objects fit the schemas of {kubernetes_validate.latest_version()}")


def _job(workload, volumes):
    """What docs/OPERATIONS.md makes of a StatefulSet to run a command beside the server."""
    program = re.search(r"jq --arg command migrate '(.*?)'", (ROOT / "docs/OPERATIONS.md").read_text(), re.S)[1]
    job = json.loads(run("jq", "--arg", "command", "migrate", program, input=json.dumps(workload)))
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    pod = job["spec"]["template"]["spec"]
    container, served = pod["containers"][0], workload["spec"]["template"]["spec"]["containers"][0]
    check(container["args"] == ["migrate"] and container["env"] == served["env"], "the Job of docs/OPERATIONS.md runs something else")
    check({volume["name"] for volume in pod["volumes"]} == volumes, f"the Job of docs/OPERATIONS.md has the volumes {pod['volumes']}")
    check(pod["restartPolicy"] == "Never" and not any("Probe" in name for name in container), "the Job of docs/OPERATIONS.md never ends")


def _sorted(objects_of_one):
    return sorted(json.dumps(each, sort_keys=True) for each in objects_of_one)


def environment(variant):
    """The variables of the container, with stand-ins for what the cluster fills in."""
    workload = next(each for each in objects(MANIFESTS / variant) if each["kind"] == "StatefulSet")
    return {each["name"]: each.get("value", "filled-in-by-the-cluster") for each in workload["spec"]["template"]["spec"]["containers"][0]["env"]}
