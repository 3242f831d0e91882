"""Checks the Dockerfile, the compose file and the manifests of Kubernetes, without running any of them."""
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

import dockerfile
import manifests
import yaml
from common import DEPLOY, ROOT, check, program, run

WORKSPACE = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]


def scripts():
    """The scripts are sound, for the shells that run them."""
    here = Path(__file__).parent
    run(program("shellcheck"), DEPLOY / "release", *(DEPLOY / "debian").glob("p*"), *(here / name for name in ("run", "boot", "debian", "machine", "image")))


def image():
    """The Dockerfile is sound, its compiler is ours, and all that is built of gets into the build."""
    run(program("hadolint"), ROOT / "Dockerfile")
    compiler = re.search(r"^ARG RUST_VERSION=(.*)$", (ROOT / "Dockerfile").read_text(), re.M)[1]
    check(compiler == WORKSPACE["rust-version"], f"Dockerfile builds with Rust {compiler}, Cargo.toml says {WORKSPACE['rust-version']}")
    names = dockerfile.context()
    missing = {"LICENSE", "askama.toml", "build.rs"} - set(names)
    check(not missing, f".dockerignore leaves out {missing}")
    unwanted = [name for name in names if re.search(r"(^|/)(\.git|\.env|target|node_modules|docs)(/|$)", name)]
    check(not unwanted, f"files that no image is built of: {unwanted[:5]}")
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            place = Path(directory, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place)
        # Fails where a member, a bench or the lock file is missing.
        run("cargo", "fetch", "--locked", "--target", "x86_64-unknown-linux-gnu", cwd=directory)
        # What only tests read is not needed.
        for source in (each for each in Path(directory).rglob("*.rs") if each.name != "tests.rs" and "tests" not in each.parts):
            text = source.read_text()
            read = [Path(directory, named.lstrip("/")) for named in re.findall(r'CARGO_MANIFEST_DIR"\), "(/[^"]+)"', text)]
            read += [source.parent / named for named in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', text)]
            for place in read:
                check(place.exists(), f"{source.name} reads {place}, which .dockerignore leaves out")
    print(f"image: hadolint is content, {len(names)} files are built of")


def compose():
    """The compose file has the form of the specification, and all that it mounts is there."""
    directory = DEPLOY / "compose"
    run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", directory / "compose.yaml")
    services = yaml.safe_load((directory / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        check(re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{name} has an image without a version: {service['image']}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            check(not source.startswith(".") or (directory / source).is_file(), f"{name} mounts what is not there: {source}")
        if "env_file" in service:
            example = service["env_file"].replace(".env", ".example.env")
            check((directory / example).is_file(), f"{name} has no {example}")
    asked = set(re.findall(r"\$\{(\w+):\?", (directory / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (directory / "example.env").read_text(), re.M))
    check(asked == given, f"compose.yaml asks for {asked}, example.env has {given}")
    build = services["lightkeep"]["build"]
    check((directory / build["context"]).resolve() == ROOT, "compose.yaml builds another tree")
    wanted = f"lightkeep:{WORKSPACE['version']}"
    check(services["lightkeep"]["image"] == wanted and build["args"]["VERSION"] == WORKSPACE["version"], f"compose.yaml has another image than {wanted}")
    mounted = {volume.split(":")[1]: volume.split(":")[0] for service in services.values() for volume in service.get("volumes", []) if volume.startswith(".")}
    boards = yaml.safe_load((directory / "grafana-dashboards.yaml").read_text())["providers"][0]["options"]["path"]
    check(any(place.startswith(f"{boards}/") for place in mounted), f"no dashboard is mounted below {boards}")
    with tempfile.TemporaryDirectory() as place:
        for source in ("prometheus.yml", "../../monitoring/lightkeep.rules.yml"):
            check(mounted.get(f"/etc/prometheus/{Path(source).name}", "").endswith(source), f"Prometheus does not get {source}")
            shutil.copy(directory / source, place)
        told = run("promtool", "check", "config", Path(place, "prometheus.yml"))
    check("SUCCESS" in told and "lightkeep.rules.yml" in told, told)
    print(f"compose: {len(services)} services, Prometheus takes its configuration")


if __name__ == "__main__":
    scripts()
    image()
    compose()
    manifests.check_all(WORKSPACE["version"])
