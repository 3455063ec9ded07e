"""Drift: how far a batch is from what the champion was trained on.

Where do I go to change ...?

    profile.py            what travels with a model: bins, and counts in blocks of time
    histograms.py         a part of a batch in these bins
    reference.py          what a batch is held against: training rows, or its own season
    thresholds.py         the score, and how large it gets when nothing has changed
    summary.py            the verdict over all columns
    evidently_report.py   Evidently's interactive report
    config.py             what a spec may say of drift
"""
