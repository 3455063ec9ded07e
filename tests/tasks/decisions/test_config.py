"""Approval, in one word or with its deadline."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from tasks.decisions.config import ApprovalConfig


def test_one_word_and_a_mapping_say_the_same():
    """``required`` is ``{required: true}``; ``auto`` is the default."""
    assert ApprovalConfig.model_validate("required") == ApprovalConfig(required=True)
    assert ApprovalConfig.model_validate("auto") == ApprovalConfig()
    within = ApprovalConfig.model_validate({"required": True, "within": "7d"})
    assert within.within == timedelta(days=7)


@pytest.mark.parametrize(
    "value", ["Required", True, 3, None, {"required": "yes"}, {"within": "soon"}]
)
def test_anything_else_is_refused(value):
    """No word is guessed at."""
    with pytest.raises(ValidationError):
        ApprovalConfig.model_validate(value)
