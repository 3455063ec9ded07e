"""What the flows are made of, in the order of a batch.

Where do I go to change ...?

    run.py                         the unit of work: lease, moment, repositories, frames
    models.py, maturity.py         versions and the champion; which labels may be used
    pending.py                     is there anything to do?
    intake.py                      batches taken in and validated
    score.py, estimate.py          predictions and drift; an estimate until labels come
    labels.py, ensemble.py         mature labels; weights and recalibration
    evidence.py, decide.py         what a decision rests on; the decision about a batch
    open_rows.py, serving.py       open rows: read and checked; scored and kept as served
    delivery.py                    sinks
    predictions.py, champion.py    what the command scores; a version read without a lease
    challenger.py, guardrails.py   from the window to the gate; the checks of a challenger
    package.py, packaged.py        what a version needs to be loaded anywhere; what it does there
    approval.py                    requests that wait for a person
    scorecard.py, choices.py       what past decisions were worth, when labels have come
    names.py, run_name.py          names that flows and deployments share; of runs
    dead_runs.py                   runs on the Prefect server that died or are overdue
    overdue.py                     batches, labels and deliveries that did not come
    kept.py, stop.py               what a run keeps in memory; a person's wish to stop
    publish.py, events.py          pages, MLflow, artifacts; what people are told
"""
