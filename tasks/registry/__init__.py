"""MLflow: trainings, versions, aliases, and loading a model safely.

Where do I go to change ...?

    runs.py        what is logged of a training and of a batch
    over_time.py   the one run of a model that is drawn over its batches
    aliases.py     which version is champion, challenger, previous champion
    package.py     what lies in a version's directory, so that anybody can load it
    safe_load.py   which types a stored model may have, and that its digest is known
    moved.py       a home that was moved or copied
    fresh.py       a model loaded and used by a new interpreter

This is the only package that imports MLflow and skops.
"""
