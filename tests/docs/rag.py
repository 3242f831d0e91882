"""The real LightRAG of tests/lightrag, where a document tells how to install it: with the settings that the document shows, and fakes in the place of its models."""
import shutil
import sys
from pathlib import Path

from markdown import Document

HERE = Path(__file__).resolve().parent
INSTALLED = Path("/opt/lightrag/bin")  # the document's virtual environment
HOME = Path("/srv/lightrag")
SETTINGS = f"# {HOME}/.env\n"  # how the block with the settings begins
MODELS = "https://api.openai.com/v1"  # whom the settings ask


def install(document: Document) -> None:
    """Nothing of LightRAG is there yet but its program and its settings."""
    shown = next((block.text for block in document.blocks if block.text.startswith(SETTINGS)), None)
    if shown is None:
        return
    sys.path.append(str(HERE.parent / "lightrag"))
    import models  # not for all documents: it takes seconds

    shutil.rmtree(HOME)
    HOME.mkdir()
    (HOME / ".env").write_text(shown.replace(MODELS, models.listen()).replace("…", "none"))
    shutil.rmtree(INSTALLED.parent, ignore_errors=True)  # a developer's own; gone in this namespace only
    INSTALLED.parent.mkdir()
    INSTALLED.symlink_to(HERE / "bin")
