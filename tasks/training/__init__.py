"""Training: split by time, search and fit.

Where do I go to change ...?

    split.py        what a challenger may see, and what judges it
    search.py       candidates compared on folds that only look forward (Optuna)
    estimators.py   an estimator by its import path, and its fit
    libraries.py    what is told to the estimators of one library: categories, threads, rounds
    pipeline.py     an estimator with the preprocessing that it needs
    preparation.py  single features prepared as the spec says
    weights.py      how much each row counts, and which are left out
    failure.py      why a candidate could not be trained, in words
    fit.py          one contender fitted
    config.py       what a spec may say of training
"""
