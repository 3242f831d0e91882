"""A LightRAG that takes in one document after the other until its standard input is closed. Usage: ingest.py DIRECTORY"""
import asyncio
import sys
import threading

from fakes import make_rag

PLACES = ["Ellmouth", "Dunholm", "Kestrel Hill", "Reed Marsh", "Tern Rock", "Pell Abbey", "Murren", "Corvin Palace"]
PEOPLE = ["Rowan Pike", "Marta Venn", "Tobias Crane", "Ines Holloway", "Josiah Bell", "Adela Strand", "Piet Okoro"]
VERBS = ["measured", "repaired", "described", "sold", "carried", "kept"]


def name_of(number):
    """A name that only this document has, of letters alone as the fake model wants it."""
    return "Ledger " + "".join(chr(ord("a") + int(digit)) for digit in f"{number:05}").capitalize()


def document(number):
    lines = []
    for line in range(6):
        turn = number * 7 + line * 3
        person, place, verb = PEOPLE[turn % len(PEOPLE)], PLACES[turn % len(PLACES)], VERBS[turn % len(VERBS)]
        lines.append(f"In year {number} {person} {verb} the {name_of(number)} at {place}, page {line}.")
    return " ".join(lines)


async def main(directory):
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    rag = make_rag(directory)
    await rag.initialize_storages()
    number = 0
    while not stop.is_set():
        batch = range(number, number + 2)  # two in flight at a time
        await rag.ainsert([document(each) for each in batch], file_paths=[f"document-{each}.txt" for each in batch])
        number += 2
        print(number, flush=True)
    await rag.finalize_storages()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
