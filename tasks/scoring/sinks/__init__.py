"""Where served predictions are delivered.

Where do I go to change ...?

    sink.py     what a sink is, and how a spec's description becomes one
    table.py    a table in a database, with its view of the newest predictions
    files.py    files at an address: Parquet or CSV
"""
