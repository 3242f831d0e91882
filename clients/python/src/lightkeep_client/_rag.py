"""What is known of LightRAG: how its stores are written, let go of, and read again.

LightRAG (1.5) reads nothing again by itself when its files have changed under it:

- `finalize_storages` writes what is pending and forgets nothing. After it `initialize_storages` returns at once, as it looks for storages
  that were just made.
- The JSON stores keep their rows in a dict of the process, by namespace and workspace, and fill it once.
- The vector and graph stores read their files when they are constructed.

So `reopen` takes all this back to the beginning before `initialize_storages`. The rag and its storages stay the same objects.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Protocol

# Lightkeep saves files: stores elsewhere would not be rolled back with them.
JSON = {"JsonKVStorage", "JsonDocStatusStorage"}
IN_FILES = JSON | {"NanoVectorDBStorage", "FaissVectorDBStorage", "NetworkXStorage"}
# In the order in which LightRAG initializes them.
STORAGES = (
    "full_docs",
    "text_chunks",
    "full_entities",
    "full_relations",
    "entity_chunks",
    "relation_chunks",
    "entities_vdb",
    "relationships_vdb",
    "chunks_vdb",
    "chunk_entity_relation_graph",
    "llm_response_cache",
    "doc_status",
)
WORKING = ("busy", "scanning", "destructive_busy", "pending_enqueues")
LOOK_SECONDS = 0.1


class Rag(Protocol):
    """A LightRAG, or a class of one's own that is derived from it."""

    @property
    def working_dir(self) -> str: ...

    @property
    def workspace(self) -> str: ...

    async def initialize_storages(self) -> None: ...

    async def finalize_storages(self) -> None: ...


def storages(rag: Rag) -> list[Any]:
    """The storages that it has. ValueError where one of them does not keep its data in files."""
    found = [storage for name in STORAGES if (storage := getattr(rag, name, None)) is not None]
    elsewhere = sorted({type(each).__name__ for each in found} - IN_FILES)
    if elsewhere:
        raise ValueError(f"a snapshot holds files, and these storages of LightRAG keep their data elsewhere: {', '.join(elsewhere)}")
    return found


def check(rag: Rag) -> None:
    """ValueError where a rollback could not be done with it."""
    storages(rag)
    known: Any = rag
    parts = [(known, "_storages_status"), (shared(), "_init_flags"), (shared(), "_is_multiprocess"), (shared(), "clear_all_update_flags")]
    lacking = [name for holder, name in parts if not hasattr(holder, name)]
    if lacking:
        raise ValueError(f"this version of LightRAG has changed within: it has no {', '.join(lacking)}")
    if shared()._is_multiprocess:
        raise ValueError("LightRAG runs in several processes: stop it and restore")
    if known._storages_status.name != "INITIALIZED":
        raise ValueError("the storages of this LightRAG are not initialized, or were closed")


def directory(rag: Rag) -> Path:
    """Where its files lie."""
    return Path(rag.working_dir, rag.workspace).absolute()


async def rest(rag: Rag, seconds: float) -> None:
    """Waits until its pipeline works on nothing. TimeoutError where that lasts longer."""
    ends = time.monotonic() + seconds
    status = await shared().get_namespace_data("pipeline_status", workspace=rag.workspace)
    while working := [name for name in WORKING if status.get(name)]:
        if time.monotonic() >= ends:
            raise TimeoutError(f"LightRAG's pipeline is still at work after {seconds} s: {', '.join(working)}")
        await asyncio.sleep(LOOK_SECONDS)


async def flush(rag: Rag) -> None:
    """Writes all that is only in memory. What can be written is, also where another storage fails."""
    done = await asyncio.gather(*(each.index_done_callback() for each in storages(rag)), return_exceptions=True)
    for error in done:
        if isinstance(error, BaseException):
            raise error


async def reopen(rag: Rag, *, forget: bool) -> None:
    """Initializes storages that were finalized. With `forget` they read their files, and what they have in memory is dropped."""
    if forget:
        for each in storages(rag):
            await forget_storage(each)
    finalized: Any = rag
    finalized._storages_status = type(finalized._storages_status)["CREATED"]
    await rag.initialize_storages()


async def forget_storage(storage: Any) -> None:
    """Makes a storage as it was before its first initialization, with the files that lie there now."""
    names = {"namespace": storage.namespace, "workspace": storage.workspace}
    if type(storage).__name__ in JSON:
        rows = await shared().get_namespace_data(**names)
        rows.clear()
        # Only the first to ask may fill it: ask as the first again.
        shared()._init_flags.pop(shared().get_final_namespace(**names), None)
    # Marks of rows that are not written yet, or of files that others have written: both are over.
    await shared().clear_all_update_flags(**names)
    storage.__post_init__()


def shared() -> Any:
    """The part of LightRAG that holds what the storages of a process have in common. It is there, as there is a rag."""
    return sys.modules["lightrag.kg.shared_storage"]
