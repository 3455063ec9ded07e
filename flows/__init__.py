"""The Prefect flows, one a file.

Where do I go to change ...?

    monitor.py     the way of one batch: the scheduled run
    retrain.py     the way of a challenger
    score.py       the way of open rows
    promote.py     a person approves or refuses; manual.py: rolls back, freezes, thaws
    replay.py      history, through the monitor
    reconcile.py   what is done about runs that died
    steps          what these are made of
    whatif         what other policies would have done

Flows call tasks and decide nothing themselves: decisions are in tasks/decisions.
"""
