"""The ``kingmaker`` command.

Where do I go to change ...?

    cli.py            its own options, and demo, new, run, replay
    look_cli.py       status, history, explain, why, plan, whatif, features, quarantine, check: what
                      they find is in status.py, scored.py, explain.py, why.py, plan.py, whatif.py,
                      features.py
    score_cli.py      score, predictions
    decision_cli.py   retrain, promote, refuse, rollback, freeze, thaw
    server_cli.py     up, deploy and what goes with servers; contract_cli.py: kingmaker contract
    people_cli.py     kingmaker user; token_cli.py: kingmaker token
    new_model.py      kingmaker new; prune.py: kingmaker prune
    running.py        how a flow is run, and ended by Ctrl-C; progress.py: what is printed meanwhile
    places.py         where a command works; options.py: what several commands take
    __main__.py       where it begins: are the packages ours?

A command reads its arguments, calls a flow or a task, and prints. Heavy imports stay inside it.
"""
