"""Training: split by time, search and fit.

Where do I go to change ...?

    split.py      what a challenger may see, and what judges it
    search.py     candidates compared on folds that only look forward (Optuna)
    pipeline.py   an estimator by its import path, with the preprocessing that it needs
    fit.py        one contender fitted
    config.py     what a spec may say of training
"""
