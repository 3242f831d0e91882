"""Deletes an entity of a LightRAG, and takes it back where a question has no answer any more."""

from typing import Any

from lightkeep_client import AsyncClient, protect


async def delete_entity(rag: Any, name: str, question: str, address: str, token: str | None = None) -> bool:
    """Whether the entity is deleted."""
    async with AsyncClient(address, token=token) as client, protect(rag, "graph1", client) as protection:
        await rag.adelete_by_entity(name)
        if await rag.aquery(question):
            return True
        await protection.roll_back()
        return False
