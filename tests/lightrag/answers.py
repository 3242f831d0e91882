"""Loads a workspace in LightRAG and prints what it would give a language model to answer with. Usage: answers.py WORKING_DIR WORKSPACE NUMBER..., numbers of
documents of `medium.py`, about whose names it is asked; prints JSON."""
import asyncio
import json
import sys

import medium
from fakes import make_rag, names_in
from lightrag import QueryParam


async def main(working_dir, workspace, numbers):
    rag = make_rag(working_dir, workspace, medium.DIMENSION)
    await rag.initialize_storages()
    contexts = {}
    for number in numbers:
        names = names_in(medium.document(int(number)))[:2]
        for mode in ("naive", "local", "global", "mix"):
            parameters = QueryParam(mode=mode, only_need_context=True, ll_keywords=names, hl_keywords=["association"], top_k=20, enable_rerank=False)
            context = str(await rag.aquery(f"What is told of {names[0]} and {names[1]}?", param=parameters))
            contexts[f"{mode}: {names}"] = context if names[0] in context else f"not found in: {context[:300]}"
    print(json.dumps(contexts))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
