"""Writes down what the Dockerfile, the compose file and the manifests say of a running container, for tests/packages/image."""
import shlex
import sys
from pathlib import Path

import dockerfile
import manifests
import yaml
from common import DEPLOY, check


def main():
    """Into the directory that is the argument."""
    final = dockerfile.stages()[-1]
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]["lightkeep"]
    confined = compose["read_only"] and compose["cap_drop"] == ["ALL"] and compose["tmpfs"] == ["/tmp"]
    check(confined, "compose.yaml gives the container another freedom than tests/packages/image does")
    key = {"LIGHTRAG_API_KEY": "0123456789abcdef"}
    environments = {
        "compose": compose["environment"] | key,
        "sqlite": manifests.environment("sqlite") | key,
        "postgresql": manifests.environment("postgresql") | key | {"LIGHTRAG_RECOVERY_DB_URL": "sqlite:///other.db"},
    }
    user, _, group = dict(final)["USER"].partition(":")
    lines = [
        f"user={shlex.quote(user)}",
        f"group={shlex.quote(group)}",
        f"place={shlex.quote(dict(final)['WORKDIR'])}",
        _array("image", _words(dockerfile.environment(final))),
        _array("command", dockerfile.command(final)),
        _array("health", dockerfile.health_check(final)),
        *(_array(name, _words(variables)) for name, variables in environments.items()),
        "build() {",
        *(_step(name, text) for name, text in final if name in ("RUN", "COPY")),
        "}",
    ]
    Path(sys.argv[1], "image.sh").write_text("\n".join(lines) + "\n")


def _words(variables):
    return [f"{name}={value}" for name, value in variables.items()]


def _array(name, words):
    return f"{name}=({' '.join(shlex.quote(word) for word in words)})"


def _step(name, text):
    """What a step of the build does, by hand: what comes from the stage before lies in /test/build."""
    if name == "RUN":
        return f"    {text}"
    words = text.split()
    source = f"/test/build{words[1]}" if words[0] == "--from=build" else f"/test/{words[0]}"
    return f"    mkdir -p {shlex.quote(str(Path(words[-1]).parent))} && cp {shlex.quote(source)} {shlex.quote(words[-1])}"


if __name__ == "__main__":
    main()
