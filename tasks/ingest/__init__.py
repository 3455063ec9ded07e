"""From sources to immutable snapshots.

Where do I go to change ...?

    source.py       what a source is; arrivals.py opens the right one and says what is new
    by_batch.py     files that are named by their period; growing.py: files that grow
    sql.py          tables and queries in databases; api.py: HTTP APIs
    open_rows.py    rows whose outcome is not known yet
    relabelled.py   labels that are filled in later in the rows' own source
    stores.py       where files lie: local, S3, or any address that fsspec opens
    formats.py      CSV, JSON lines and Parquet; rows.py: the rows of one batch, piece by piece
    snapshot.py     what is kept of a batch; sorting.py: in their order
    contents.py     how a change of a file is noticed; fingerprint.py: of rows
    infer.py        a first contract from a file; dialect.py: how a CSV file is written
"""
