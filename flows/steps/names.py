"""Names that flows and deployments share."""

from __future__ import annotations

TAG = "kingmaker"
"""On every deployment of ours on Prefect's server, and on every run of one."""
