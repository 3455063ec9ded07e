"""The console: every model at a glance, and all pages of a home, served behind the home's password.

It reads the ledger and the reports, and changes nothing.

Where do I go to change ...?

    app.py      addresses, headers, who may read
    fleet.py    what is told of each model, and what of it needs a person

The pages themselves are in ``tasks/reports``.
"""
