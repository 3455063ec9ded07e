"""What the flows are made of, in the order of a batch.

Where do I go to change ...?

    run.py                       the unit of work: lease, ledger, models
    pending.py                   is there anything to do?
    intake.py                    batches taken in and validated
    score.py, estimate.py        predictions and drift; an estimate until labels come
    labels.py, ensemble.py       mature labels; weights and recalibration
    evidence.py, decide.py       what a decision rests on; the answer to a batch
    trainings.py, guardrails.py  a retrain carried out; the checks of a challenger
    publish.py, events.py        pages, MLflow, artifacts; events for automations
"""
