"""Deletes an entity of a LightRAG, and takes it back where another entity has no relation any more."""

from typing import Any

from lightkeep_client import AsyncClient, protect


async def delete_entity(rag: Any, name: str, address: str, token: str | None = None) -> bool:
    """Whether the entity is deleted."""
    graph = rag.chunk_entity_relation_graph
    neighbours = {end for edge in await graph.get_node_edges(name) or () for end in edge} - {name}
    async with AsyncClient(address, token=token) as client, protect(rag, "graph1", client) as protection:
        await rag.adelete_by_entity(name)
        if all([await graph.node_degree(each) for each in neighbours]):
            return True
        await protection.roll_back()
        return False
