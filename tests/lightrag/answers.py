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
        text = medium.document(int(number))
        names, sentence = names_in(text)[:2], text.split(". ")[0]
        for mode in ("naive", "local", "global", "mix"):
            parameters = QueryParam(mode=mode, only_need_context=True, ll_keywords=names, hl_keywords=["association"], top_k=20, enable_rerank=False)
            context = str(await rag.aquery(sentence, param=parameters))
            # Other passages and relations may be nearer than those with the names.
            is_found = "[no-context]" not in context and (mode in ("naive", "global") or names[0] in context)
            contexts[f"{mode}: {names}"] = context if is_found else f"not found in: {context[:300]}"
    print(json.dumps(contexts))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
