"""From sources to immutable snapshots.

Where do I go to change ...?

    source.py       what a source is; arrivals.py opens the right one and says what is new
    by_batch.py     files that are named by their period; growing.py: files that grow
    sql.py          tables in databases
    stores.py       where files lie: local, S3, or any address that fsspec opens
    formats.py      CSV, JSON lines and Parquet; rows.py: the rows of one batch, piece by piece
    snapshot.py     what is kept of a batch; fingerprint.py: how a change is noticed
    infer.py        a first contract from a file
"""
