"""A schedule that follows changes, while the real LightRAG takes in documents: what it flushed last is in a snapshot, by itself."""
import datetime
import time

from checks import check

DEBOUNCE_SECONDS = 2
PATIENCE_SECONDS = 60
SCHEDULES = "/api/backup/backup/schedules"


def newest_change(directory):
    """When a store was written last, seconds since 1970; the cache of answers follows no document."""
    files = [path for path in directory.glob("*") if path.is_file() and ".tmp." not in path.name and "llm_response_cache" not in path.name]
    return max(path.stat().st_mtime for path in files)


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def following(server, home, begin):
    """`begin` starts an ingestion into a directory. Each time it has ended, the last flush must be captured."""
    source = home / "followed"
    source.mkdir()
    server.request("POST", "/api/backup/backup/graphs", {"graph_id": "followed", "source_dir": str(source)})
    on_change = {"debounce_seconds": DEBOUNCE_SECONDS, "minimum_interval_seconds": 0}
    server.request("POST", SCHEDULES, {"schedule": {"graph_id": "followed", "on_change": on_change, "tags": ["on-change"]}})
    late = []
    for batch in range(3):
        ingestion = begin(source, home / f"followed-{batch}.log")
        ingestion.wait_for(2)
        documents = ingestion.end()
        flushed, until = newest_change(source), time.monotonic() + PATIENCE_SECONDS
        after = []
        while not after and time.monotonic() < until:
            listed = server.request("GET", "/api/backup/backup/graphs/followed/snapshots")
            after = [one for one in listed if one["status"] == "completed" and seconds(one["timestamp"]) >= flushed]
            time.sleep(0.05)
        check(f"the last flush of ingestion {batch} is captured by itself", bool(after), f"not within {PATIENCE_SECONDS} s")
        if after:
            late.append(seconds(after[-1]["timestamp"]) - flushed)
            check(f"that snapshot has the documents of ingestion {batch}", after[-1]["documents"] >= documents, after[-1]["documents"])
            check(f"and nothing of ingestion {batch} in flight", after[-1]["documents_in_flight"] == 0, after[-1]["documents_in_flight"])
    listed = server.request("GET", "/api/backup/backup/graphs/followed/snapshots")
    for one in listed:
        check(f"snapshot {one['backup_id']} follows a change and is consistent", (one["consistency"], one["tags"]) == ("consistent", ["on-change"]), one)
    told = ", ".join(f"{each:.2f}" for each in late)
    print(f"{len(listed)} snapshots by themselves; after the last flush: {told} s, with a debounce of {DEBOUNCE_SECONDS} s", flush=True)
