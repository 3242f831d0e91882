"""Generates the messages and services while a wheel is built, and puts the protos into an sdist."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GeneratedCode(BuildHookInterface[BuilderConfig]):
    """Leaves nothing in the source tree: what is generated lies in a temporary directory until it is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds files to what is packed."""
        packed = Path(self.root, "proto")  # in an sdist
        protos = packed if packed.is_dir() else Path(self.root).parents[1] / "proto"
        if self.target_name == "sdist":
            build_data["force_include"][str(protos / "lightkeep")] = "proto/lightkeep"
            return
        sys.path.insert(0, self.root)
        from generate import generate  # noqa: PLC0415 # lies beside this file, which is not on the path before

        self.generated = Path(tempfile.mkdtemp(prefix="lightkeep-client-"))
        generate(protos, self.generated)
        build_data["force_include"][str(self.generated / "lightkeep_client")] = "lightkeep_client"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Takes the temporary directory away."""
        if self.target_name == "wheel":
            shutil.rmtree(self.generated)
