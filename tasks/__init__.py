"""The work, one package a stage. Each has pure modules, and a ``task.py`` where Prefect has a
part in it.

Where do I go to change ...?

    ingest validation features          from a source to checked rows and feature frames
    training evaluation drift           models, and how they are judged
    decisions                           when to retrain, promote, roll back: pure functions
    registry ledger scoring             what is kept: versions, decisions, predictions
    explanation                         why a model predicts what it predicts
    reports                             pages
    records                             what passes between the packages above
    model_spec.py, presets.py           what a spec may say, with the ``config.py`` of each package
    batches.py, streams.py, cohorts.py  how time is cut, and when labels may be used
    history.py, needs.py                what follows from all decisions; what waits for a person
    prediction.py, mixing.py, large.py  how a model is asked, and what an ensemble does
    conform.py                          values in the contract's types
    checks.py, check_codes.py           what a check of a challenger gives, and its code
    configuration.py, errors.py         configuration as types; exceptions
    addresses.py, sql_text.py           addresses with secrets in them; names and literals of SQL
    task.py, processes.py               how work becomes a Prefect task, and a process of ours
    carried.py, project_code.py         the code that travels with a model; functions of a project
    settings.py, lake.py, not_made.py   where things live, and how files are written whole; what
                                        stands in the place of a page that could not be made

A package here imports no other one: they meet in records and in the modules of this directory.
"""
