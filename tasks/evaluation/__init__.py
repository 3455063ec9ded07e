"""How models did: metrics with intervals, comparisons, slices, and the checks of a challenger.

Where do I go to change ...?

    scored.py      what a model predicts for labelled rows, made once
    objective.py   the loss of each kind of problem
    metrics.py     the metrics that a spec may name, with their intervals
    compare.py     two models on the same rows; slices.py: by slice
    judgement.py   one model on a batch, two against each other, and whether one has seen too much
    utility.py     what predictions are worth to those who act on them
    margins.py     intervals around the predictions of a regression
    behaviour.py   what is measured for a version's card
    estimate.py    a guess for a batch without labels
    checks         the guardrails, each with a code
    config.py      metrics by name, guardrails and fairness in a spec
"""
