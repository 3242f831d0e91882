"""The rules of the audit once more, in Python: a second opinion on what ours finds, and the measure of its speed.

Usage: rules.py DIRECTORY prints JSON: what is found, the seconds that took, and the peak of memory. Which rule says what stands in `src/domain/finding.rs`.
"""
import base64
import binascii
import hashlib
import json
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

SEP = "<SEP>"
BROKEN, IN_FLIGHT, WARNING = 2, 1, 0
SEVERITIES = {BROKEN: "broken", IN_FLIGHT: "in_flight", WARNING: "warning"}
KEY_VALUES = ["doc_status", "full_docs", "text_chunks", "full_entities", "full_relations", "entity_chunks", "relation_chunks", "llm_response_cache"]
VECTORS = ["entities", "relationships", "chunks"]
GRAPH = "graph_chunk_entity_relation.graphml"
SOURCES_KEPT = 200
LENGTH_TOLERANCE, HALF_TOLERANCE = 1e-3, 5e-3


class Unknown:
    """What a store that does not parse is asked instead: it may hold anything, and nothing of it is judged."""

    def __contains__(self, key):
        return True

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0

    def get(self, key, default=None):
        return default

    def items(self):
        return ()

    def values(self):
        return ()


UNKNOWN = Unknown()


def md5(text):
    return hashlib.md5(text.encode("utf-8", "surrogatepass")).hexdigest()


def pair(first, second):
    return f"{first}{SEP}{second}" if first <= second else f"{second}{SEP}{first}"


def split(sources):
    return sources.split(SEP) if sources else []


class Vectors:
    """A store of vectors: its rows, the matrix, and what is wrong with its shape (R33)."""

    def __init__(self, rows, dimension, numbers, stored_rows):
        self.rows, self.matrix, self.misfit = rows, None, None
        if numbers is not None and isinstance(dimension, int) and len(numbers) == 4 * dimension * stored_rows:
            self.matrix = np.frombuffer(numbers, "<f4").reshape(stored_rows, dimension) if dimension else None
        else:
            self.misfit = BROKEN
        if self.misfit is None and stored_rows != len(rows):
            self.misfit = WARNING if len(rows) < stored_rows else BROKEN


class Workspace:
    """The stores of a workspace as dictionaries, and what is found in them."""

    def __init__(self, directory):
        self.directory, self.found, self.missing = Path(directory), Counter(), set()
        for name in KEY_VALUES:
            setattr(self, name, self.read(f"kv_store_{name}.json", json.loads, {}))
        self.graph = self.read(GRAPH, self.parse_graph, ({}, {}))
        self.nodes, self.edges = (UNKNOWN, UNKNOWN) if self.graph is UNKNOWN else self.graph
        self.classes = {key: self.class_of(row) for key, row in self.doc_status.items()}
        self.duplicates = {key for key, row in self.doc_status.items() if row.get("metadata", {}).get("is_duplicate") is True}
        self.cache = self.answers()

    def read(self, name, parse, absent):
        path = self.directory / name
        if not path.exists():
            self.missing.add(name)
            return absent
        try:
            return parse(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        except (ValueError, ElementTree.ParseError):
            self.count("Parses", BROKEN)
            return UNKNOWN

    @staticmethod
    def parse_graph(content):
        root = ElementTree.fromstring(content)
        space = root.tag.removesuffix("graphml")
        names = {key.get("id"): key.get("attr.name") for key in root.iter(space + "key")}
        nodes, edges = {}, {}
        for element in root.iter(space + "node"):
            nodes[element.get("id")] = {names.get(data.get("key")): data.text or "" for data in element}
        for element in root.iter(space + "edge"):
            edges[pair(element.get("source"), element.get("target"))] = {names.get(data.get("key")): data.text or "" for data in element}
        return nodes, edges

    def answers(self):
        """The rows of the cache. Before LightRAG 1.4 they lie below their mode, and nothing refers to them."""
        if self.llm_response_cache is UNKNOWN:
            return UNKNOWN
        fields = {"return", "cache_type", "original_prompt"}
        return {key: row for key, row in self.llm_response_cache.items() if isinstance(row, dict) and not fields.isdisjoint(row)}

    def count(self, rule, severity, times=1):
        if times:
            self.found[rule, severity] += times

    # How bad something is: by the documents that it belongs to.

    @staticmethod
    def class_of(row):
        return {"processed": "processed", "failed": "failed"}.get(row.get("status"), "in flight")

    def document_of(self, chunk):
        row = self.text_chunks.get(chunk)
        return row.get("full_doc_id", "") if row is not None else chunk.rpartition("-chunk-")[0] or chunk

    def of_document(self, document):
        known = self.classes.get(document)
        return WARNING if known is None else BROKEN if known == "processed" else IN_FLIGHT

    def of_chunks(self, chunks):
        return max((self.of_document(self.document_of(chunk)) for chunk in chunks), default=WARNING)

    @staticmethod
    def by_hand(severity):
        """What edits by hand break too."""
        return WARNING if severity == BROKEN else severity

    def is_derived(self, name):
        """Whether a store is there that older versions do not have."""
        return f"kv_store_{name}.json" not in self.missing

    # The rules.

    def audit(self):
        vector_rows = {}
        for name in VECTORS:
            store = self.vectors(name)
            vector_rows[name] = UNKNOWN if store is UNKNOWN else {row.get("__id__", ""): row for row in store.rows}
            if store is not UNKNOWN:
                self.judge_numbers(name, store)
            del store  # the matrix, which is large
        self.entity_vectors, self.relation_vectors, self.chunk_vectors = vector_rows.values()
        self.judge_documents()
        self.judge_chunks()
        self.judge_nodes()
        self.judge_edges()
        self.judge_lists("entity_chunks", self.nodes)
        self.judge_lists("relation_chunks", self.edges)
        self.judge_anchors("full_entities", "entity_names", self.nodes, "R26", "R28")
        self.judge_anchors("full_relations", "relation_pairs", self.edges, "R29", "R30")
        self.judge_vectors()
        self.judge_absence()
        return self.found

    def judge_documents(self):
        for key, row in self.doc_status.items():
            severity = self.of_document(key)
            if key in self.duplicates:
                continue
            if self.classes[key] != "failed" and key not in self.full_docs:
                self.count("R1", severity)
            if self.classes[key] != "processed":
                continue
            chunks = row.get("chunks_list")
            if chunks is not None and row.get("chunks_count") != len(chunks):
                self.count("R3", severity)
            self.count("R4", severity, sum(chunk not in self.text_chunks for chunk in chunks or ()))
            self.count("R5", severity, sum(chunk not in self.chunk_vectors for chunk in chunks or ()))
        self.count("R2", WARNING, sum(key not in self.doc_status for key in self.full_docs))

    def judge_chunks(self):
        listed, unlisted = set(), set()
        for key, row in self.doc_status.items():
            if key in self.duplicates or row.get("chunks_list") is None:
                unlisted.add(key)
            else:
                listed.update(row["chunks_list"])
        self.unlisted = unlisted
        has_cache = self.is_derived("llm_response_cache")
        for key, row in self.text_chunks.items():
            document = row.get("full_doc_id", "")
            if document not in self.doc_status:
                self.count("R6", WARNING)
            elif document not in unlisted and key not in listed and self.doc_status is not UNKNOWN:
                self.count("R7", self.of_document(document))
            if has_cache:
                self.count("R8", WARNING, sum(answer not in self.cache for answer in row.get("llm_cache_list") or ()))
        for row in self.cache.values():
            chunk = row.get("chunk_id")
            if row.get("cache_type") == "extract" and isinstance(chunk, str) and chunk not in self.text_chunks:
                self.count("W1", WARNING)

    def is_anchored(self, anchors, field, document, name):
        """R31 and R32; of documents that are not known, or have no list of chunks, there are no lists."""
        if document not in self.classes or document in self.unlisted or anchors is UNKNOWN:
            return True
        names = self.anchor_names.get((field, document))
        if names is None:
            listed = anchors.get(document, {}).get(field) or []
            names = self.anchor_names[field, document] = {each if isinstance(each, str) else pair(*each) for each in listed}
        return name in names

    def judge_nodes(self):
        self.anchor_names = {}
        lists, anchors = self.entity_chunks, self.full_entities
        is_tracked, is_anchored = self.is_derived("entity_chunks"), self.is_derived("full_entities")
        for name, node in self.nodes.items():
            sources = split(node.get("source_id", ""))
            if node.get("entity_id", "") != name:
                self.count("R12", self.of_chunks(sources))
            if f"ent-{md5(name)}" not in self.entity_vectors:
                self.count("R13", self.of_chunks(sources))
            tracked = is_tracked and name in lists
            if is_tracked and not tracked:
                self.count("R14", self.of_chunks(sources))
            known = [chunk for chunk in sources if chunk in self.text_chunks]
            for chunk in sources:
                if chunk not in self.text_chunks:
                    self.count("R15", self.of_chunks([chunk]))
            if tracked and lists is not UNKNOWN:
                chunks = set(lists[name].get("chunk_ids") or ())
                for chunk in known:
                    if chunk not in chunks:
                        self.count("R25", self.by_hand(self.of_chunks([chunk])))
                if not node.get("truncate") and len(sources) < SOURCES_KEPT and len(chunks) > len(sources):
                    self.count("R25", self.by_hand(self.of_chunks(sources)))
            if is_anchored:
                for document in {self.document_of(chunk) for chunk in known}:
                    if not self.is_anchored(anchors, "entity_names", document, name):
                        self.count("R31", self.by_hand(self.of_document(document)))

    def judge_edges(self):
        is_tracked, is_anchored = self.is_derived("relation_chunks"), self.is_derived("full_relations")
        for key, edge in self.edges.items():
            first, second = key.split(SEP)
            sources = split(edge.get("source_id", ""))
            if first not in self.nodes or second not in self.nodes:
                self.count("R11", self.of_chunks(sources))
            if f"rel-{md5(first + second)}" not in self.relation_vectors and f"rel-{md5(second + first)}" not in self.relation_vectors:
                self.count("R18", self.of_chunks(sources))
            if is_tracked and key not in self.relation_chunks:
                self.count("R19", self.of_chunks(sources))
            documents = set()
            for chunk in sources:
                if chunk in self.text_chunks:
                    documents.add(self.document_of(chunk))
                else:
                    self.count("R20", self.of_chunks([chunk]))
            if is_anchored:
                for document in documents:
                    if not self.is_anchored(self.full_relations, "relation_pairs", document, key):
                        self.count("R32", self.by_hand(self.of_document(document)))

    def judge_lists(self, name, things):
        for key, row in getattr(self, name).items():
            chunks = row.get("chunk_ids") or []
            if key not in things:
                self.count("R22", self.of_chunks(chunks))
            if row.get("count") != len(chunks):
                self.count("R23", self.of_chunks(chunks))
            for chunk in chunks:
                if chunk not in self.text_chunks:
                    self.count("R24", self.of_chunks([chunk]))

    def judge_anchors(self, name, field, things, unknown_document, unknown_name):
        for document, row in getattr(self, name).items():
            names = [each if isinstance(each, str) else pair(*each) for each in row.get(field) or []]
            severity = self.of_document(document)
            if document not in self.doc_status:
                self.count(unknown_document, WARNING)
            if row.get("count") != len(names):
                self.count("R27", severity)
            self.count(unknown_name, self.by_hand(severity), sum(each not in things for each in names))

    def judge_vectors(self):
        for key, row in self.entity_vectors.items():
            name = row.get("entity_name", "")
            if name not in self.nodes:
                self.count("R16", self.of_chunks(split(row.get("source_id", ""))))
            if key != f"ent-{md5(name)}":
                self.count("R17", self.of_chunks(split(row.get("source_id", ""))))
        for row in self.relation_vectors.values():
            if pair(row.get("src_id", ""), row.get("tgt_id", "")) not in self.edges:
                self.count("R21", self.of_chunks(split(row.get("source_id", ""))))
        for key, row in self.chunk_vectors.items():
            document = row.get("full_doc_id", "")
            chunk = self.text_chunks.get(key)
            if key not in self.text_chunks:
                self.count("R9", self.of_document(document))
            elif chunk is not None and (chunk.get("content", ""), chunk.get("full_doc_id", "")) != (row.get("content", ""), document):
                self.count("R10", self.of_document(document))

    def vectors(self, name):
        """The store of vectors in use: nano-vectordb's, or Faiss's with its two files."""
        nano, index = f"vdb_{name}.json", f"faiss_index_{name}.index"
        rows = f"{index}.meta.json"
        written = {each: (self.directory / each).stat().st_mtime_ns for each in (nano, rows) if (self.directory / each).exists()}
        if written and max(written, key=written.get) == nano:
            store = self.read(nano, json.loads, None)
            if store is UNKNOWN:
                return UNKNOWN
            try:
                numbers = base64.b64decode(store.pop("matrix"), validate=True)
            except (KeyError, binascii.Error):
                numbers = None
            return Vectors(store["data"], store.get("embedding_dim"), numbers, len(store["data"]))
        has_index = (self.directory / index).exists()
        if not written and not has_index:
            self.missing.add(nano)
            return Vectors([], 0, b"", 0)
        if not written or not has_index:
            self.count("Present", BROKEN)
        by_position = self.read(rows, json.loads, {})
        stored = self.read(index, self.parse_index, None)
        if UNKNOWN in (by_position, stored) or stored is None:
            return UNKNOWN
        dimension, count, numbers = stored
        return Vectors([by_position[key] for key in sorted(by_position, key=int)], dimension, numbers, count)

    @staticmethod
    def parse_index(content):
        """An `IndexFlatIP`: what it is, dimension, number of vectors, ..., the number of floats, the floats."""
        dimension, count, floats = (int.from_bytes(content[at : at + size], "little") for at, size in ((4, 4), (8, 8), (37, 8)))
        if content[:4] != b"IxFI" or len(content) != 45 + 4 * floats:
            raise ValueError("no flat index, or not all of it")
        return dimension, count, content[45:]

    def judge_numbers(self, name, store):
        if store.misfit is not None:
            self.count("R33", store.misfit)
        matrix = store.matrix
        if matrix is None:
            return
        rows = store.rows[: len(matrix)]
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))[: len(rows)]
        wrong = [("R34", at) for at in np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH_TOLERANCE))]
        positions, halves = [], []
        for at, row in enumerate(rows):
            if not row.get("vector"):
                continue
            try:
                half = zlib.decompress(base64.b64decode(row["vector"], validate=True))
            except (binascii.Error, zlib.error):
                half = b""
            if len(half) == 2 * matrix.shape[1]:
                positions.append(at)
                halves.append(half)
            else:
                wrong.append(("R35", at))
        if halves:
            own = np.frombuffer(b"".join(halves), "<f2").reshape(len(halves), -1).astype(np.float32)
            lengths = np.linalg.norm(own, axis=1, keepdims=True)
            own /= np.where(lengths > 0, lengths, 1)
            own -= matrix[positions]
            wrong += [("R35", positions[at]) for at in np.flatnonzero(~(np.abs(own).max(axis=1) <= HALF_TOLERANCE))]
        for rule, at in wrong:
            row = rows[at]
            self.count(rule, self.of_document(row.get("full_doc_id", "")) if name == "chunks" else self.of_chunks(split(row.get("source_id", ""))))

    def judge_absence(self):
        """A file that is missing though others need it: as bad as what it leaves broken."""
        worst = lambda *rules: max((severity for rule, severity in self.found if rule in rules), default=None)  # noqa: E731
        has_data = any(map(len, (self.text_chunks, self.nodes, self.entity_vectors, self.relation_vectors, self.chunk_vectors)))
        needed = {
            "kv_store_doc_status.json": BROKEN if has_data else worst("R2"),
            "kv_store_full_docs.json": worst("R1"),
            "kv_store_text_chunks.json": worst("R4", "R9"),
            "vdb_chunks.json": worst("R5"),
            GRAPH: worst("R16", "R21"),
            "vdb_entities.json": worst("R13"),
            "vdb_relationships.json": worst("R18"),
        }
        # What LightRAG makes anew, in the versions that have it.
        rows = self.doc_status.values()
        has = lambda field: any(field in row for row in rows)  # noqa: E731
        is_1_4_10 = len(rows) > 0 and (has("content_hash") or self.is_derived("entity_chunks") or self.is_derived("relation_chunks"))
        is_1_4 = len(rows) > 0 and (
            is_1_4_10 or has("track_id") or has("chunks_list") or self.is_derived("full_entities") or self.is_derived("full_relations")
        )
        for store, things, is_needed in [
            ("entity_chunks", self.nodes, is_1_4_10), ("relation_chunks", self.edges, is_1_4_10),
            ("full_entities", self.nodes, is_1_4), ("full_relations", self.edges, is_1_4),
        ]:  # fmt: skip
            needed[f"kv_store_{store}.json"] = WARNING if is_needed and len(things) > 0 else None
        for name in self.missing:
            if needed.get(name) is not None:
                self.count("Present", needed[name])


def audit(directory):
    """What is found: counts by rule and severity, as words."""
    return {f"{rule} {SEVERITIES[severity]}": count for (rule, severity), count in sorted(Workspace(directory).audit().items())}


def peak_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    started = time.perf_counter()
    found = audit(sys.argv[1])
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes(), "found": found}))
