"""Blocks that hold data: JSON, YAML, TOML and units are parsed, and what is Lightkeep's own configuration is loaded by the program itself."""
import configparser
import json
import os
import re
import signal
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml

from markdown import Block

TABLES = {"server", "backup", "recovery", "replication", "metrics", "monitoring", "health", "events", "alerts", "alert_rules", "restore"}
HOOKS = {"before_fence", "after_switch", "on_failure"}
VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=(.*)$")
LANGUAGES = ("json", "yaml", "toml", "ini")
CUT = "0123456789abcdef"  # what stands for a key that the document cuts with `…`


class Wrong(Exception):
    """The block is not what it says."""


def variables(block: Block) -> dict[str, str] | None:
    """A file of environment variables: a comment with its path, then nothing but variables."""
    lines = [line for line in block.text.splitlines() if line.strip()]
    if not lines or not re.match(r"# /\S+", lines[0]):
        return None
    rest = [line for line in lines if not line.startswith("#")]
    found = [VARIABLE.match(line) for line in rest]
    return {match[1]: match[2] for match in found if match} if rest and all(found) else None


def is_data(block: Block) -> bool:
    return block.language in LANGUAGES or variables(block) is not None


def check(block: Block) -> None:
    """Parses the block, and has the program load what is for it. Raises Wrong."""
    if (environment := variables(block)) is not None:
        # Where it listens and what it writes to is ours; the names and values of all else must be well.
        load({name: value.replace("…", CUT) for name, value in environment.items()}, "")
        return
    try:
        parsed = parse(block)
    except (ValueError, yaml.YAMLError, configparser.Error) as error:
        raise Wrong(f"it cannot be parsed: {error}") from error
    if block.language == "toml" and parsed and set(parsed) <= TABLES:
        load({}, block.text)
    elif block.language == "toml" and parsed and set(parsed) <= HOOKS:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as hooks:
            hooks.write(block.text)
            hooks.flush()
            load({"LIGHTKEEP_HOOKS_FILE": hooks.name}, "")


def parse(block: Block) -> Any:
    if block.language == "json":
        return json.loads(block.text)
    if block.language == "yaml":
        return list(yaml.safe_load_all(block.text))
    if block.language == "toml":
        return tomllib.loads(block.text)
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    return unit


def load(environment: dict[str, str], settings: str) -> None:
    """Starts a server with these settings, on free ports and with a storage of its own, and ends it when it listens. Raises Wrong where it does not start."""
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "settings.toml")
        file.write_text(settings)
        own = {
            "LIGHTKEEP_HTTP_ADDR": "127.0.0.1:0", "LIGHTKEEP_GRPC_ADDR": "127.0.0.1:0", "LIGHTKEEP_METRICS_ADDR": "127.0.0.1:0", "PATH": os.environ["PATH"],
            "LIGHTRAG_BACKUP_STORAGE": f"{home}/storage", "LIGHTRAG_RECOVERY_DB_URL": f"sqlite:///{home}/lightkeep.db",
        }
        server = subprocess.Popen(
            [os.environ["LIGHTKEEP_BIN"], "--config", str(file), "serve"], cwd=home, env=environment | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if line.startswith("grpc "):
                server.send_signal(signal.SIGTERM)
                break
        rest, _ = server.communicate(timeout=60)
        if server.returncode != 0:
            raise Wrong(f"lightkeep does not take it: exit {server.returncode}: {''.join(said)}{rest}")
