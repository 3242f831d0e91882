"""Workspaces of real size: a LightRAG takes in documents that are the same at each run, and share some of their names.

Usage: medium.py DIRECTORY FIRST END takes in the documents from FIRST to before END. 44 of them make some 200 MB.
"""
import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DIMENSION = 1024
PARTS, SENTENCES = 26, 34  # a part of a document is about a chunk
SHARED_NAMES, NAMES = 600, 9000
SYLLABLES = "ba be bi bo da de di do fa fe ga go ha ka ke ko la le lo ma me mo na ne no pa pe ra re ro sa se so ta te to va ve za zo".split()
NOUNS = (
    "river stone market ledger harbour signal copper winter method record paper engine garden letter council survey bridge answer season timber "
    "school copy glass lamp cable field meadow barrel wheel canal question table measure étude größe"
).split()
VERBS = "kept built measured carried opened repaired described compared sold joined mapped crossed counted painted".split()


def documents_of(megabytes):
    """How many documents make a workspace of about this size."""
    return max(2, round(megabytes * 44 / 200))


def name_of(number):
    source = random.Random(number * 7919 + 13)
    words = ["".join(source.choices(SYLLABLES, k=source.randint(2, 3))).capitalize() for _ in range(2)]
    return f"{words[0]} {words[1]}{'x' if number % 2 else 'n'}"


def document(number):
    """Each fourth sentence has one of the names that all documents share, some of them often; the others are this document's own."""
    source = random.Random(1000 + number)
    parts = []
    for part in range(PARTS):
        sentences = []
        for sentence in range(SENTENCES):
            own = (number * PARTS + part) * 9 + sentence
            own_name, next_name = (SHARED_NAMES + at % (NAMES - SHARED_NAMES) for at in (own, own + 1))
            first = int(source.random() ** 3 * SHARED_NAMES) if sentence % 4 == 0 else own_name
            nouns, verbs = source.choices(NOUNS, k=5), source.choices(VERBS, k=2)
            sentences.append(
                f'A {nouns[0]} of {name_of(first)} {verbs[0]} a "{nouns[1]}" and a {nouns[2]} for the {nouns[3]} '
                f"that {name_of(next_name)} {verbs[1]} near the {nouns[4]} in the year {source.randint(1500, 1999)}."
            )
        parts.append(" ".join(sentences))
    return "\n\n".join(parts)


def ingest(directory, first, end):
    """Takes documents in, in a process of its own: a LightRAG keeps much in memory, and some of it for as long as its process lives."""
    Path(directory).parent.mkdir(parents=True, exist_ok=True)
    quiet = os.environ | {"LOG_LEVEL": "ERROR", "VERBOSE": "false"}
    words = [sys.executable, str(HERE / "medium.py"), str(directory), str(first), str(end)]
    done = subprocess.run(words, cwd=Path(directory).parent, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"LightRAG did not take the documents in: {done.stderr[-2000:]}")


async def main(directory, first, end):
    from fakes import make_rag

    # One document after the other: what several write at once they write in any order.
    settings = {"chunk_token_size": 1000, "chunk_overlap_token_size": 50, "embedding_batch_num": 256, "max_parallel_insert": 1}
    rag = make_rag(directory, dimension=DIMENSION, **settings)
    await rag.initialize_storages()
    numbers = range(int(first), int(end))
    await rag.ainsert([document(number) for number in numbers], file_paths=[f"report-{number:04}.txt" for number in numbers])
    await rag.finalize_storages()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
