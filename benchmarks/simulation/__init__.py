"""The yardstick's parts: stored predictions, and policies replayed over them; and worlds.

Where do I go to change ...?

    streams.py    the public streams, cut into batches
    models.py     every model that a policy may ask for, trained once
    policies.py   the rows of the table; replay.py: a stream under one of them
    trials.py     how often the gate errs; plot.py: the picture
    worlds.py     worlds in which it is known why a loss changed

Policies are replayed by flows/whatif/, as over a model's own history.
"""
