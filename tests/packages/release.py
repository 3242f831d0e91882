"""Checks what docs/deploy/release has made, in the directory that is the argument."""
import json
import re
import shutil
import sys
import tarfile
import tomllib
from pathlib import Path

from common import ROOT, check, run
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# All else that the program needs is built in.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def sums(directory):
    """Each file that was made has its sum, and the sums are right."""
    listed = next(directory.glob("*.sha256"))
    run("sha256sum", "--check", "--strict", listed.name, cwd=directory)
    named = {line.split()[1] for line in listed.read_text().splitlines()}
    made = {each.name for each in directory.iterdir()} - {listed.name}
    check(named == made, f"sums are there of {named}, made was {made}")


def archive(directory, version):
    """The archive has all that belongs to it, and the program in it runs."""
    place = directory / "unpacked"
    with tarfile.open(next(directory.glob("*.tar.gz"))) as packed:
        packed.extractall(place, filter="data")
    top = next(place.iterdir())
    for name in ("LICENSE", "README.md", "lightkeep.example.toml", "systemd/lightkeep.service", "systemd/lightkeep.toml", "completions/_lightkeep", "completions/lightkeep.fish"):
        check((top / name).stat().st_size > 0, f"empty: {name}")
    settings = tomllib.loads((top / "systemd" / "lightkeep.toml").read_text())
    ports = [settings["server"]["http_addr"], settings["server"]["grpc_addr"], settings["metrics"]["addr"]]
    check(ports == ["127.0.0.1:9721", "127.0.0.1:50051", "127.0.0.1:9091"], f"the settings have other addresses than docs/INSTALL.md says: {ports}")
    run("bash", "-n", top / "completions" / "lightkeep")
    pages = list((top / "man" / "man1").iterdir())
    check(any(page.name == "lightkeep.1" for page in pages), "there is no manual page lightkeep(1)")
    check(all(re.search(r"^\.TH \S+ 1", page.read_text(), re.M) for page in pages), "a manual page has no title")
    program = top / "lightkeep"
    check(run(program, "--version").startswith(f"lightkeep {version}"), "the program is of another version")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", program)))
    check(needed <= LIBRARIES, f"the program needs libraries that are not everywhere: {needed - LIBRARIES}")
    check(".symtab" not in run("readelf", "-S", program), "the program is not stripped")
    shutil.rmtree(place)


def parts(directory):
    """The list of parts has its form, and names each crate that the program is built of."""
    text = next(directory.glob("*.cdx.json")).read_text()
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    check(wrong is None, f"the list of parts is no CycloneDX 1.6: {wrong}")
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    names = {part["name"] for part in json.loads(text)["components"]}
    missing = set(manifest["dependencies"]) - names
    check(not missing, f"the list of parts lacks {missing}")
    check("proptest" not in names, "the list of parts has what only tests use")
    print(f"parts: CycloneDX 1.6, all {len(manifest['dependencies'])} dependencies are listed")


if __name__ == "__main__":
    made = Path(sys.argv[1])
    sums(made)
    archive(made, tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"])
    parts(made)
