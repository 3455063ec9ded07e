"""Names that flows and deployments share."""

from __future__ import annotations

TAG = "kingmaker"
"""On every deployment of ours on Prefect's server, and on every run of one."""
OURS = "kingmaker: "
"""Before the name of every automation of ours."""
TELL = "tell of decisions"
"""The automation that tells people; it is there where they are to be told."""
