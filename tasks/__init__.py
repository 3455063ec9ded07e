"""The work, one package a stage. Each has pure modules, and a ``task.py`` where Prefect has a
part in it.

Where do I go to change ...?

    ingest, validation, features        from a source to checked rows and feature frames
    training, evaluation, drift         models, and how they are judged
    decisions                           when to retrain, promote, roll back: pure functions
    registry, ledger, scoring           what is kept: versions, decisions, predictions
    explanation                         why a model predicts what it predicts
    reports                             pages
    records                             what passes between the packages above
    model_spec.py, presets.py           what a spec may say, with the ``config.py`` of each package
    batches.py, streams.py, cohorts.py  how time is cut, and when labels may be used
    task.py                             how work becomes a Prefect task
    carried.py                          the code that travels with a model
    settings.py, lake.py                where things live, and how files are written whole

A package here imports no other one: they meet in records and in the modules of this directory.
"""
