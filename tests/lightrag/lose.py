"""Lets the real LightRAG delete one entity of a workspace, with its relations. Usage: lose.py DIRECTORY ENTITY"""
import asyncio
import sys

from fakes import make_rag


async def main(directory, entity):
    rag = make_rag(directory)
    await rag.initialize_storages()
    result = await rag.adelete_by_entity(entity)
    await rag.finalize_storages()
    return 0 if result.status == "success" else result.message


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
