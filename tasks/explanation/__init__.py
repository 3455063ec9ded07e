"""Why a model predicts what it predicts.

Where do I go to change ...?

    reasons.py   the features that moved each prediction most, and by how much
"""
