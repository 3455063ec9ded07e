"""The ``kingmaker`` command.

Where do I go to change ...?

    cli.py            the commands that people use every day
    contract_cli.py   kingmaker contract; server_cli.py: commands around servers
    new_model.py      kingmaker new; explain.py: kingmaker explain; prune.py: kingmaker prune
    progress.py       what is printed while a flow runs

A command reads its arguments, calls a flow or a task, and prints. Heavy imports stay inside it.
"""
