"""Sources for the benchmarks, the same at each run: LightRAG workspaces that hold all rules of the audit, and trees of small files."""
import base64
import hashlib
import json
import random
import shutil
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

CHUNKS, ENTITIES, RELATIONS = 8, 15, 20  # per document
SEP = "<SEP>"
TIME = 1_780_000_000
WORDS = ["".join(random.Random(seed).choices("etaoinshrdlucmwfgypbvk", k=3 + seed % 7)) for seed in range(4000)]


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def prose(source, letters):
    """Pseudo text that compresses as text does: few words are frequent, most are rare."""
    words, size = [], 0
    while size < letters:
        word = WORDS[min(int(source.paretovariate(0.6)) - 1, 10**9) % len(WORDS)]
        words.append(word)
        size += len(word) + 1
    return " ".join(words)[:letters]


class Vectors:
    """One vdb file, written row by row; its matrix comes last."""

    def __init__(self, path, dimension):
        self.file, self.dimension, self.matrix, self.empty = path.open("w", encoding="utf-8"), dimension, bytearray(), True
        self.file.write(f'{{"embedding_dim": {dimension}, "data": [')

    def add(self, source, rows):
        raw = source.standard_normal((len(rows), self.dimension)).astype(np.float32) * np.float32(0.03)
        half = raw.astype(np.float16)
        whole = half.astype(np.float32)
        self.matrix += (whole / np.linalg.norm(whole, axis=1, keepdims=True)).astype("<f4").tobytes()
        for number, row in enumerate(rows):
            row["vector"] = base64.b64encode(zlib.compress(half[number].tobytes(), 1)).decode()
            self.file.write(("" if self.empty else ", ") + json.dumps(row, ensure_ascii=False))
            self.empty = False

    def close(self):
        self.file.write('], "matrix": "')
        for start in range(0, len(self.matrix), 3 << 20):  # a multiple of 3, so that the parts join
            self.file.write(base64.b64encode(self.matrix[start : start + (3 << 20)]).decode())
        self.file.write('"}')
        self.file.close()


class Rows:
    """One kv_store file: an object with two spaces of indent."""

    def __init__(self, directory, name):
        self.file, self.empty = (directory / f"kv_store_{name}.json").open("w", encoding="utf-8"), True

    def add(self, key, row):
        text = json.dumps(row, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        self.file.write(("{\n  " if self.empty else ",\n  ") + json.dumps(key, ensure_ascii=False) + ": " + text)
        self.empty = False

    def close(self):
        self.file.write("{}" if self.empty else "\n}")
        self.file.close()


def workspace(directory, documents, dimension=1024, chunk_letters=4000, seed=1):
    """A LightRAG workspace of 1.5.7. One with more documents begins with the same rows, as after an ingestion."""
    directory.mkdir(parents=True)
    names = ["full_docs", "text_chunks", "doc_status", "full_entities", "full_relations", "entity_chunks", "relation_chunks", "llm_response_cache"]
    store = {name: Rows(directory, name) for name in names}
    vectors = {name: Vectors(directory / f"vdb_{name}.json", dimension) for name in ("chunks", "entities", "relationships")}
    nodes, edges = [], []
    for number in range(documents):
        text_source, vector_source = random.Random(seed * 1_000_003 + number), np.random.default_rng([seed, number])
        file_name, when = f"document-{seed}-{number}.txt", TIME + number
        document = "doc-" + md5(file_name)
        texts = [prose(text_source, chunk_letters) for _ in range(CHUNKS)]
        chunks = [f"{document}-chunk-{index:03}" for index in range(CHUNKS)]
        entities = sorted(f"Entity {seed} {number} {index} {WORDS[text_source.randrange(4000)]}" for index in range(ENTITIES))
        pairs = sorted({tuple(sorted(text_source.sample(entities, 2))) for _ in range(RELATIONS)})
        stamps = {"create_time": when, "update_time": when}

        def row(key, fields, stamps=stamps):
            return fields | stamps | {"_id": key}

        def indexed(key, fields, when=when):
            return {"__id__": key, "__created_at__": when, "__write_seq__": when * 1_000_000_000} | fields

        content = "".join(texts)
        store["full_docs"].add(document, row(document, {"content": content, "file_path": file_name, "parse_format": "raw", "content_hash": md5(content)}))
        chunk_rows = []
        for index, (chunk, text) in enumerate(zip(chunks, texts)):
            cache = f"default:extract:{md5(chunk)}"
            fields = {"tokens": len(text) // 4, "content": text, "chunk_order_index": index, "full_doc_id": document, "file_path": file_name}
            store["text_chunks"].add(chunk, row(chunk, fields | {"llm_cache_list": [cache]}))
            answer = "\n".join(f"entity<|#|>{name}<|#|>concept<|#|>{prose(text_source, 80)}" for name in entities[index::CHUNKS])
            cached = {"return": answer, "cache_type": "extract", "chunk_id": chunk, "original_prompt": text, "queryparam": None}
            store["llm_response_cache"].add(cache, row(cache, cached))
            chunk_rows.append(indexed(chunk, {"full_doc_id": document, "content": text, "file_path": file_name}))
        entity_rows = []
        for index, name in enumerate(entities):
            chunk, about = chunks[index % CHUNKS], prose(text_source, 160)
            store["entity_chunks"].add(name, row(name, {"chunk_ids": [chunk], "count": 1}))
            nodes.append((name, about, chunk, file_name, when))
            entity_rows.append(indexed("ent-" + md5(name), {"entity_name": name, "content": f"{name}\n{about}", "source_id": chunk, "file_path": file_name}))
        relation_rows = []
        for index, (left, right) in enumerate(pairs):
            chunk, about, key = chunks[index % CHUNKS], prose(text_source, 120), f"{left}{SEP}{right}"
            store["relation_chunks"].add(key, row(key, {"chunk_ids": [chunk], "count": 1}))
            edges.append((left, right, about, chunk, file_name, when))
            fields = {"src_id": left, "tgt_id": right, "source_id": chunk, "content": f"sequence\t{left}\n{right}\n{about}", "file_path": file_name}
            relation_rows.append(indexed("rel-" + md5(left + right), fields))
        store["full_entities"].add(document, row(document, {"entity_names": entities, "count": len(entities)}))
        store["full_relations"].add(document, row(document, {"relation_pairs": [list(pair) for pair in pairs], "count": len(pairs)}))
        status = {"status": "processed", "content_summary": content[:100], "content_length": len(content), "chunks_count": CHUNKS, "chunks_list": chunks}
        status |= {"created_at": "2026-06-01T00:00:00+00:00", "updated_at": "2026-06-01T00:00:00+00:00", "file_path": file_name}
        store["doc_status"].add(document, status | {"track_id": f"insert_{number}", "content_hash": md5(content), "metadata": {"kg_write_state": "graph_mutation_started"}})
        for name, rows in (("chunks", chunk_rows), ("entities", entity_rows), ("relationships", relation_rows)):
            vectors[name].add(vector_source, rows)
    for each in [*store.values(), *vectors.values()]:
        each.close()
    graphml(directory / "graph_chunk_entity_relation.graphml", nodes, edges)


def graphml(path, nodes, edges):
    node_keys = ["entity_id", "entity_type", "description", "source_id", "file_path", "created_at"]
    edge_keys = ["weight", "description", "keywords", "source_id", "file_path", "created_at"]
    types = {"created_at": "long", "weight": "double"}
    with path.open("w", encoding="utf-8") as file:
        file.write("<?xml version='1.0' encoding='utf-8'?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n")
        for number, (kind, name) in enumerate([("node", key) for key in node_keys] + [("edge", key) for key in edge_keys]):
            file.write(f'  <key id="d{number}" for="{kind}" attr.name="{name}" attr.type="{types.get(name, "string")}" />\n')
        file.write('  <graph edgedefault="undirected">\n')
        for name, about, chunk, file_name, when in nodes:
            values = [name, "concept", about, chunk, file_name, when]
            data = "".join(f'      <data key="d{number}">{escape(str(value))}</data>\n' for number, value in enumerate(values))
            file.write(f'    <node id="{escape(name)}">\n{data}    </node>\n')
        for left, right, about, chunk, file_name, when in edges:
            values = [1.0, about, "sequence", chunk, file_name, when]
            data = "".join(f'      <data key="d{number + 6}">{escape(str(value))}</data>\n' for number, value in enumerate(values))
            file.write(f'    <edge source="{escape(left)}" target="{escape(right)}">\n{data}    </edge>\n')
        file.write("  </graph>\n</graphml>\n")


def small_files(directory, count=20_000):
    """Texts of 4 to 40 KB, a hundred to a directory."""
    source = random.Random(7)
    pool = prose(source, 4 << 20)
    for number in range(count):
        folder = directory / f"{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        size, start = source.randrange(4 << 10, 40 << 10), source.randrange(3 << 20)
        # Parts of a pool would be found twice by no chunker of files this small; the number makes each its own.
        (folder / f"{number}.txt").write_text(f"{number} " + pool[start : start + size // 2] + prose(source, 200) + pool[-start % (3 << 20) :][: size // 2])


def as_plain(workspace_directory, plain):
    """A copy whose files have names that LightRAG does not know: a plain directory."""
    shutil.copytree(workspace_directory, plain)
    for path in list(plain.iterdir()):
        path.rename(path.with_name("part-" + path.name.replace("kv_store_", "a-").replace("vdb_", "b-").replace("graph_", "c-")))


def once(directory, make):
    """Makes a workload where it is not complete yet."""
    mark = directory.with_name(directory.name + ".complete")
    if not mark.exists():
        shutil.rmtree(directory, ignore_errors=True)
        make(directory)
        mark.touch()
    return Path(directory)
