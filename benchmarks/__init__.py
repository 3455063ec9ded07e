"""What speed, memory and the decisions are worth: ``make bench``.

Where do I go to change ...?

    ingest_validate.py, decision.py, scheduled.py, load.py   time and memory (docs/benchmarks.md)
    drift.py       false alarms and power of drift reports (docs/drift.md)
    yardstick.py   what the decisions gain on public streams (docs/yardstick.md)
    simulation     streams, policies and trials of the yardstick
    servers        homes and servers that the others measure
"""
