"""Servers: those of ``kingmaker up``, the embedded one, and what a team starts in containers.

Where do I go to change ...?

    up.py               Prefect, MLflow and a worker until Ctrl-C; programs.py: supervision
    client.py           requests to servers, within bounds
    home.py             where they listen, and their secrets
    embedded.py         Prefect's server for the time of one command
    authentication.py   the log-in before all servers; people.py: who may; sessions.py: for how long
    tokens.py           by what programs read the console; kept.py: how both are kept
    health.py           are they ready?
    compose.yaml, Dockerfile, kubernetes-job.json   for a team
"""
