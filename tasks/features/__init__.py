"""Feature frames: the same code for training and for scoring.

Where do I go to change ...?

    frame.py        which columns become features, and how a frame is built
    history.py      features that look back, as SQL; join.py: features from another contract
    past.py         what both are made of, as of when; beside.py: both together
    dates.py        numbers that are made of dates and times
    labels.py       labels from a contract of their own, joined by key
    checks.py       whether features know the future or break on rows that the contract allows
    neighbours.py   whether they rest on rows that stand beside (KM016); fresh.py: on this process
    config.py       what a spec may say of features; join_config.py: and of joins

What is fitted to data (imputing, encoding) belongs to the pipeline, in tasks/training.
"""
