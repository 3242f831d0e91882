"""Loads workspaces in LightRAG and asks them something; one process for each. Usage: ask.py DIRECTORY; prints JSON."""
import asyncio
import json
import sys
from pathlib import Path

from fakes import make_rag
from ingest import document, name_of
from lightrag import QueryParam
from lightrag.base import DocStatus


async def main(directory):
    wanted = json.loads((Path(directory) / "kv_store_doc_status.json").read_text(encoding="utf-8-sig"))
    wanted = {key for key, row in wanted.items() if row["status"] == "processed"}
    rag = make_rag(directory)
    await rag.initialize_storages()
    processed = await rag.doc_status.get_docs_by_statuses([DocStatus.PROCESSED])
    missing = [key for key in wanted if key not in processed or not await rag.full_docs.get_by_id(key)]
    # A document that was whole: its own name must be found in text, by vector, and in the graph.
    unanswered = []
    for key in list(wanted)[:1] + list(wanted)[-1:]:
        number = int(processed[key].file_path.removeprefix("document-").removesuffix(".txt"))
        name = name_of(number)
        for mode in ("naive", "local"):
            # However many documents there are by then, the name must not be pushed out by names like it.
            limits = {"top_k": 1000, "max_entity_tokens": 1_000_000, "max_relation_tokens": 1_000_000, "max_total_tokens": 3_000_000}
            # In the words of its description, as the fake vectors of the bare name may lie too far away.
            keywords = {"ll_keywords": [f"{name} is named in a passage of letters"], "hl_keywords": ["association"]}
            parameters = QueryParam(mode=mode, only_need_context=True, enable_rerank=False, **keywords, **limits)
            context = await rag.aquery(document(number), param=parameters)
            if name not in str(context):
                unanswered.append(f"{mode}: {name}")
        if not await rag.chunk_entity_relation_graph.has_node(name):
            unanswered.append(f"graph: {name}")
    print(json.dumps({"processed": len(wanted), "missing": missing, "unanswered": unanswered}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
