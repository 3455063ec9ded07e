"""By what programs read the console."""

from __future__ import annotations

import stat

import pytest

from deployments.server.tokens import (
    TokenError,
    Tokens,
    made,
    make_token,
    revoke_token,
    tokens_file,
)


def test_a_token_is_known_until_it_is_revoked_and_kept_nowhere(tmp_path):
    """The file is its owner's, and holds no token."""
    token = make_token(tmp_path, "grafana")
    tokens = Tokens(tmp_path)

    assert tokens.name(token) == "grafana"
    assert tokens.name(token + "x") == tokens.name("") == ""
    file = tokens_file(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text(encoding="utf-8")
    assert list(made(tmp_path)) == ["grafana"]
    revoke_token(tmp_path, "grafana")
    assert (tokens.name(token), made(tmp_path)) == ("", {})


def test_a_name_that_is_taken_odd_or_not_there_is_refused(tmp_path):
    """One token goes on, whatever is asked for."""
    token = make_token(tmp_path, "grafana")

    with pytest.raises(TokenError, match="revoke it first"):
        make_token(tmp_path, "grafana")
    with pytest.raises(TokenError, match="expected a name"):
        make_token(tmp_path, "../x")
    with pytest.raises(TokenError, match="x: expected the name of a token, found grafana"):
        revoke_token(tmp_path, "x")
    assert Tokens(tmp_path).name(token) == "grafana"
