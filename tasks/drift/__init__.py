"""Drift: how far a batch is from what the champion was trained on.

Where do I go to change ...?

    profile.py            what travels with a model: bins, and counts in blocks of time
    histograms.py         a part of a batch in these bins
    reference.py          what a batch is held against: training rows, or its own season
    move.py               how far a column is from training, in its own unit
    effect.py             what a move should do to the champion, by its holdout
    change.py             why the loss changed: its parts, and what is told of them
    expected.py           what the holdout says that other rows should lose
    sides.py              holdout and batch side by side, in the columns by which it says so
    thresholds.py         the score, and how large it gets when nothing has changed
    missing.py            the same of the share of missing values
    relations.py          what the other columns say that a number should be
    summary.py            the verdict over all columns
    evidently_report.py   Evidently's interactive report
    config.py             what a spec may say of drift
"""
