"""A damage for each rule of the audit, done to a workspace of LightRAG 1.5 with nano-vectordb."""
import base64
import json
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

SEP = "<SEP>"
GRAPH = "graph_chunk_entity_relation.graphml"
SPACE = "{http://graphml.graphdrawing.org/xmlns}"


@contextmanager
def store(root, name):
    """A JSON store, written back as it was changed."""
    path = Path(root) / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    yield rows
    path.write_text(json.dumps(rows, indent=None if name.startswith("vdb_") else 2, ensure_ascii=False), encoding="utf-8")


class Graph:
    """The graph's file as a tree, with the fields of its elements by their names."""

    def __init__(self, root):
        ElementTree.register_namespace("", SPACE[1:-1])
        self.path = Path(root) / GRAPH
        self.tree = ElementTree.parse(self.path)
        self.keys = {(key.get("for"), key.get("attr.name")): key.get("id") for key in self.tree.iter(SPACE + "key")}

    def field(self, element, name):
        kind = element.tag.removeprefix(SPACE)
        return next(data for data in element if data.get("key") == self.keys[kind, name])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.tree.write(self.path, encoding="utf-8", xml_declaration=True)


class Places:
    """What is damaged: a processed document by its number, its first chunk, and an entity and a relation that come from there."""

    def __init__(self, root, number):
        read = lambda name: json.loads((Path(root) / f"kv_store_{name}.json").read_text(encoding="utf-8"))  # noqa: E731
        documents = [each for each in read("doc_status").items() if each[1]["status"] == "processed" and each[1]["chunks_list"]]
        self.document, row = documents[number % len(documents)]
        self.chunk = row["chunks_list"][0]
        self.gone = f"{self.document}-chunk-999"
        self.entity = read("full_entities")[self.document]["entity_names"][0]
        self.pair = read("full_relations")[self.document]["relation_pairs"][0]


def row_of(rows, field, wanted):
    return next(row for row in rows["data"] if row[field] == wanted)


def change_matrix(root, change):
    with store(root, "vdb_entities") as rows:
        matrix = np.frombuffer(base64.b64decode(rows["matrix"]), "<f4").reshape(-1, rows["embedding_dim"]).copy()
        change(matrix)
        rows["matrix"] = base64.b64encode(matrix.tobytes()).decode()


def rename(rows, old, new):
    rows[new] = rows.pop(old)


def damage(rule, root, number=0):
    """Breaks this rule, where it is about documents in the one of this number; some break others too."""
    root, at = Path(root), Places(root, number)
    match rule:
        case "Parses":
            (root / GRAPH).write_text("<graphml>")
        case "Present":
            (root / GRAPH).unlink()
        case "R1" | "R2":
            with store(root, "kv_store_full_docs") as rows:
                if rule == "R1":
                    rename(rows, at.document, "doc-other")
                else:
                    rows["doc-other"] = rows[at.document]
        case "R3":
            with store(root, "kv_store_doc_status") as rows:
                rows[at.document]["chunks_count"] += 1
        case "R4" | "R6" | "R7" | "R8":
            with store(root, "kv_store_text_chunks") as rows:
                match rule:
                    case "R4":
                        del rows[at.chunk]
                    case "R6":
                        rows[at.chunk]["full_doc_id"] = "doc-other"
                    case "R7":
                        rows[at.gone] = rows[at.chunk]
                    case "R8":
                        rows[at.chunk]["llm_cache_list"] = ["default:extract:x", "default:extract:y"]
        case "R5" | "R9" | "R10":
            with store(root, "vdb_chunks") as rows:
                field, value = {"R5": ("__id__", "chunk-x"), "R9": ("__id__", at.gone), "R10": ("content", "another")}[rule]
                row_of(rows, "__id__", at.chunk)[field] = value
        case "R11" | "R12" | "R15" | "R20":
            with Graph(root) as graph:
                kind = "node" if rule in ("R12", "R15") else "edge"
                element = next(graph.tree.iter(SPACE + kind))
                match rule:
                    case "R11":
                        element.set("target", "Nobody & Sons")
                    case "R12":
                        graph.field(element, "entity_id").text = "Nobody"
                    case "R15" | "R20":
                        graph.field(element, "source_id").text += SEP + at.gone
        case "R13" | "R16" | "R17":
            with store(root, "vdb_entities") as rows:
                row = row_of(rows, "entity_name", at.entity)
                match rule:
                    case "R13":
                        row["__id__"] = "ent-x"
                    case "R16":
                        row["entity_name"] = "Nobody"
                    case "R17":
                        row["__id__"] = "ent-" + 32 * "0"
        case "R14" | "R22" | "R24" | "R25":
            with store(root, "kv_store_entity_chunks") as rows:
                row = rows[at.entity]
                match rule:
                    case "R14":
                        del rows[at.entity]
                    case "R22":
                        rows["Nobody"] = row
                    case "R24":
                        row["chunk_ids"].append(at.gone)
                    case "R25":
                        row["chunk_ids"].pop()
                row["count"] = len(row["chunk_ids"])
        case "R18" | "R21":
            with store(root, "vdb_relationships") as rows:
                row = row_of(rows, "src_id", rows["data"][-1]["src_id"])
                row["__id__" if rule == "R18" else "tgt_id"] = "rel-x"
        case "R19" | "R23":
            with store(root, "kv_store_relation_chunks") as rows:
                first, second = sorted(at.pair)
                if rule == "R19":
                    rename(rows, first + SEP + second, second + SEP + first)
                else:
                    rows[first + SEP + second]["count"] = 99
        case "R26" | "R27" | "R28" | "R31":
            with store(root, "kv_store_full_entities") as rows:
                row = rows[at.document]
                match rule:
                    case "R26":
                        rows["doc-other"] = row
                    case "R27":
                        row["count"] = 99
                    case "R28":
                        row["entity_names"].append("Nobody")
                    case "R31":
                        row["entity_names"].pop()
        case "R29" | "R30" | "R32":
            with store(root, "kv_store_full_relations") as rows:
                row = rows[at.document]
                match rule:
                    case "R29":
                        rows["doc-other"] = row
                    case "R30":
                        row["relation_pairs"].append([at.entity, "Nobody"])
                    case "R32":
                        row["relation_pairs"].pop()
        case "R33":
            with store(root, "vdb_chunks") as rows:
                rows["embedding_dim"] += 1
        case "R34":

            def lengthen(matrix):
                matrix[1] *= 1.01

            change_matrix(root, lengthen)
        case "R35":

            def swap(matrix):
                matrix[[0, 1]] = matrix[[1, 0]]

            change_matrix(root, swap)
        case "W1":
            with store(root, "kv_store_llm_response_cache") as rows:
                next(row for row in rows.values() if row["cache_type"] == "extract")["chunk_id"] = at.gone
        case _:
            raise ValueError(f"no damage is known for `{rule}`")


RULES = ["Parses", "Present", *(f"R{number}" for number in range(1, 36)), "W1"]


def unfinish(root):
    """As if LightRAG were still at work on all documents."""
    with store(root, "kv_store_doc_status") as rows:
        for row in rows.values():
            row["status"] = "processing"
