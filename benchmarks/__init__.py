"""What speed, memory and the decisions are worth: ``make bench``.

Where do I go to change ...?

    ingest_validate.py, decision.py, scheduled.py, load.py   time and memory (docs/benchmarks.md)
    memory.py      what a large batch holds in memory (docs/benchmarks.md)
    scoring.py, reasons.py, features.py   the same of open rows, reasons, features that look back
    estimators.py  what candidates cost (docs/estimators.md)
    drift.py       false alarms and power of drift reports; faults.py: planted faults
    losses.py      whether it is named why a loss changed (docs/benchmarks.md)
    estimates.py   estimates before labels against the truth (docs/decisions.md)
    yardstick.py   what the decisions gain on public streams (docs/yardstick.md)
    simulation     streams, policies and trials of the yardstick
    servers        homes and servers that the others measure; harness.py: how they measure
"""
