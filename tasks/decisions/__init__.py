"""When to retrain, promote, roll back and freeze: pure functions from evidence to one decision.

Where do I go to change ...?

    policy.py          retrain or hold
    gate.py            promote, reject, or ask a person
    sequential.py      the test of a challenger that goes on in shadow
    power.py           how many rows could tell a gain
    watch.py           bring the previous champion back, or not
    ensemble.py        who is a member, and how much each one counts
    recalibration.py   the correction between trainings
    rules.py           a decision made again from its record
    config.py          every threshold, with its default and source

Nothing here reads, writes, or knows the time. The reasons are in docs/decisions.md.
"""
