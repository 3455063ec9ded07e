"""Tests of replays under other policies."""
