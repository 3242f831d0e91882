"""What the real LightRAG retrieves for given vectors: its own functions for the modes local, global and naive, on real workspaces.

The answers are kept in tests/fixtures/retrievals.json, which the tests of the probes are held against.

    retrievals.py            says whether LightRAG still retrieves what is kept
    retrievals.py --write    makes the file anew
"""
import asyncio
import base64
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import networkx
import numpy as np
from checks import check
from fakes import make_rag
from lightrag import QueryParam
from lightrag.operate import _get_edge_data, _get_node_data, _get_vector_context

FIXTURES = Path(__file__).parent.parent / "fixtures"
KEPT = FIXTURES / "retrievals.json"
GRAPH = "graph_chunk_entity_relation.graphml"
# Workspaces, and a node that is taken out of the graph: LightRAG drops what only the index has.
CASES = [("sample", ""), ("sample/tenant_b", ""), ("sample-1.4.9", ""), ("sample-1.3.9", ""), ("sample-faiss", ""), ("sample", "Gull Lighthouse"), ("sample-faiss", "Gull Lighthouse")]
STORES = {"entities": "entities", "relations": "relationships", "chunks": "chunks"}
TOP_KS = [1, 3, 10, 40, 200]
THRESHOLD = 0.2
logging.disable(logging.WARNING)


def rows_and_matrix(directory, store):
    nano = directory / f"vdb_{store}.json"
    if nano.exists():
        content = json.loads(nano.read_text(encoding="utf-8"))
        return content["data"], np.frombuffer(base64.b64decode(content["matrix"]), np.float32).reshape(-1, content["embedding_dim"])
    rows = json.loads((directory / f"faiss_index_{store}.index.meta.json").read_text(encoding="utf-8"))
    index = (directory / f"faiss_index_{store}.index").read_bytes()
    dimension = int.from_bytes(index[4:8], "little")
    return [rows[str(place)] for place in range(len(rows))], np.frombuffer(index[45:], np.float32).reshape(-1, dimension)


def probes_of(directory, seed):
    """Vectors near one stored vector, between several, and anywhere; some ask all indexes, some one of their own each."""
    random = np.random.default_rng(seed)
    matrices = {kind: rows_and_matrix(directory, store)[1] for kind, store in STORES.items()}
    stored = np.concatenate(list(matrices.values()))
    probes = []
    for number in range(10):
        def mixed():
            some = stored[random.choice(len(stored), 1 + number % 4, replace=False)].mean(axis=0)
            noise = random.standard_normal(stored.shape[1]) * (0.02, 0.1, 0.5)[number % 3]
            return ((some + noise) * (0.5 + number)).astype("<f4")

        asked = [list(STORES)] if number % 2 == 0 else [[kind] for kind in STORES]
        vectors = [{"asks": kinds, "numbers": base64.b64encode(mixed().tobytes()).decode()} for kinds in asked]
        probes.append({"name": f"probe {number}", "top_k": TOP_KS[number % len(TOP_KS)], "vectors": vectors})
    return probes


def vector_for(probe, kind):
    numbers = next(vector["numbers"] for vector in probe["vectors"] if kind in vector["asks"])
    return np.frombuffer(base64.b64decode(numbers), "<f4")


async def retrieved_by_lightrag(directory, probes):
    rag = make_rag(directory)
    await rag.initialize_storages()
    graph, retrieved = rag.chunk_entity_relation_graph, []
    for probe in probes:
        param = QueryParam(top_k=probe["top_k"], chunk_top_k=probe["top_k"])
        nodes, _ = await _get_node_data("", graph, rag.entities_vdb, param, vector_for(probe, "entities"))
        edges, _ = await _get_edge_data("", graph, rag.relationships_vdb, param, vector_for(probe, "relations"))
        chunks = await _get_vector_context("", rag.chunks_vdb, param, vector_for(probe, "chunks"))
        retrieved.append({
            "entities": [node["entity_name"] for node in nodes],
            "relations": ["<SEP>".join(sorted([edge["src_id"], edge["tgt_id"]])) for edge in edges],
            "chunks": [chunk["chunk_id"] for chunk in chunks],
        })
    await rag.finalize_storages()
    return retrieved


def retrieved_by_numpy(directory, probes):
    """For Faiss, whose library the tests do without: a flat index is an inner product."""
    graph = networkx.read_graphml(directory / GRAPH)
    exists = {
        "entities": lambda row: (row["entity_name"], graph.has_node(row["entity_name"])),
        "relations": lambda row: ("<SEP>".join(sorted([row["src_id"], row["tgt_id"]])), graph.has_edge(row["src_id"], row["tgt_id"])),
        "chunks": lambda row: (row["__id__"], True),
    }
    retrieved = [{} for _ in probes]
    for kind, store in STORES.items():
        rows, matrix = rows_and_matrix(directory, store)
        for probe, of_probe in zip(probes, retrieved):
            query = vector_for(probe, kind)
            scores = matrix @ (query / np.linalg.norm(query))
            nearest = [place for place in np.argsort(-scores)[: probe["top_k"]] if scores[place] >= THRESHOLD]
            of_probe[kind] = [name for name, there in (exists[kind](rows[place]) for place in nearest) if there]
    return retrieved


def answer(seed, name, without, home):
    directory = home / str(seed)
    directory.mkdir()
    for path in (FIXTURES / "workspaces" / name).iterdir():
        if path.is_file():
            shutil.copy(path, directory)
    if without:
        graph = networkx.read_graphml(directory / GRAPH)
        graph.remove_node(without)
        networkx.write_graphml(graph, directory / GRAPH)
    probes = probes_of(directory, seed)
    if name == "sample-faiss":
        retrieved = retrieved_by_numpy(directory, probes)
    else:
        retrieved = asyncio.run(retrieved_by_lightrag(directory, probes))
    return {"workspace": name, "without": without, "probes": probes, "retrieved": retrieved}


def retrievals():
    home = Path(tempfile.mkdtemp(prefix="lightkeep-retrievals-"))
    try:
        return [answer(seed, name, without, home) for seed, (name, without) in enumerate(CASES)]
    finally:
        shutil.rmtree(home)


def unchanged():
    """LightRAG retrieves what the tests of the probes are held against."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    check("LightRAG retrieves what is kept in retrievals.json", retrievals() == kept, "another list: run retrievals.py --write and look at what differs")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in retrievals())
        KEPT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    else:
        unchanged()
