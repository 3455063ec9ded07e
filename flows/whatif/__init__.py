"""What other policies would have done with a model's own history: it decides nothing.

Where do I go to change ...?

    stream.py         rows in batches, and when their labels were known
    past.py           a model's own rows as such a stream, from ledger and lake
    models.py         every model that a policy asks for, trained once, its predictions stored
    judging.py        stored predictions in the production comparison
    replay.py         a stream under one policy, gate, watch, ensemble and recalibration
    alternatives.py   what is tried
    answer.py         gains, costs, other decisions, and one sentence of advice

The benchmarks replay public streams by the same code (docs/yardstick.md).
"""
