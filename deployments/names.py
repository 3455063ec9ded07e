"""Names under which others know us: on Prefect's server, and in what starts our processes."""

from __future__ import annotations

from flows.steps.names import TAG

__all__ = [
    "ALL_MODELS",
    "ANY_MODEL",
    "LAUNCH",
    "LAUNCHER",
    "PEOPLE",
    "POOL",
    "RECONCILE",
    "SCORING",
    "TAG",
]

POOL = "kingmaker"
"""The work pool of all models. Each schedule has a queue of its own in it, of which one run at a
time is begun.
"""
PEOPLE = "people"
"""The queue of the runs that a person or an event asks for."""
ALL_MODELS = "all models"
"""Name of the deployment that looks after every model, and of its queue ``RECONCILE``."""
RECONCILE = "reconcile"
SCORING = "-scoring"
"""After a model's name: the queue of its scoring."""
ANY_MODEL = "any model"
"""Name of the deployments that ask which model is meant; one a flow."""
LAUNCHER = "deployments.launcher"
LAUNCH = f"python -P -m {LAUNCHER}"
"""How a pool begins a run, unless its command says otherwise: with a look at whether there is
anything to do, and without the working directory on the path for modules.
"""
