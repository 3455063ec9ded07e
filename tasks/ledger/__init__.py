"""The database of batches, decisions and leases: SQLite, or PostgreSQL for a team.

Where do I go to change ...?

    tables.py       tables and connections; databases.py: making them on a PostgreSQL server
    entries.py      what is written, and read
    repositories.py what a run reads once, and writes under its lease
    served.py       the index of what was served for open rows
    fleet.py        all models in a few numbers
    messages.py     what people are told, kept until it was sent
    lease.py        one run at a time for a model
    retention.py    what of the lake is still needed
    superseded.py   what rests on rows that were replaced
"""
