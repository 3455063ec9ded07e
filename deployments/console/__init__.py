"""The console: every model at a glance, all pages of a home, and what a person may do about them.

It reads the ledger, the reports and Prefect. What a person does is a run of the same flows as the
command line's, which Prefect's worker takes.

Where do I go to change ...?

    app.py      addresses, headers, who may read
    fleet.py    what is told of each model, and what of it needs a person; overview.py: of one
    acts.py     what a person may do, and when not; acting.py: its pages and requests
    metrics.py  the fleet in numbers, for Prometheus
    runs.py     what Prefect says of runs, and is asked for

The pages themselves are in ``tasks/reports``.
"""
