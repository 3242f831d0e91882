"""What docs/MIGRATING.md needs: what the old Python server has left, in the form of tests/it/support/legacy.rs."""
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from markdown import Document

STORAGE, DATABASE = Path("/srv/old-backups"), Path("/srv/old-server/lightrag_recovery.db")
TABLE = (
    "CREATE TABLE backup_metadata (backup_id VARCHAR(36) PRIMARY KEY, graph_id VARCHAR(255) NOT NULL, timestamp TIMESTAMP NOT NULL, status VARCHAR(40), "
    "size_bytes INTEGER, data_hash VARCHAR(64), retention_until TIMESTAMP, metadata JSON, checkpoint_path VARCHAR(1024), description TEXT)"
)
# The graph, the id, and what the database says of it: when, and how it went. Of the last one it says nothing.
COPIES = (
    ("graph1", "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0001", ("2026-10-01 02:00:05.12", "completed")),
    ("graph1", "5c9d8a52-6b1e-4f0c-8f1d-2f0a7be40002", ("2026-10-02 02:00:04.87", "completed")),
    ("graph1", "f3a1b2c4-9d8e-4c7b-a6f5-0e1d2c3b0003", ("2026-10-02 14:00:00", "failed")),
    ("graph2", "7d1f0f7e-0a53-4f4e-b0a5-5d3c4f9a0004", None),
)
CHANGED_AT = datetime(2026, 10, 3, 2, 0, 7, tzinfo=UTC).timestamp()  # the time of the directories


def leave(document: Document, sample: Path) -> None:
    """Copies of the sample, and a database that knows most of them, where the document names them."""
    if str(STORAGE) not in document.path.read_text():
        return
    DATABASE.parent.mkdir()
    with sqlite3.connect(DATABASE) as database:
        database.execute(TABLE)
        for graph, backup, noted in COPIES:
            copy = shutil.copytree(sample, STORAGE / graph / backup)
            os.utime(copy, (CHANGED_AT, CHANGED_AT))
            if noted:
                database.execute("INSERT INTO backup_metadata (graph_id, backup_id, timestamp, status) VALUES (?, ?, ?, ?)", (graph, backup, *noted))
    database.close()
