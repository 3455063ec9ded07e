"""Who may log in, and by what."""

from __future__ import annotations

import stat

import pytest

from deployments.server.people import (
    People,
    PersonError,
    add_person,
    names,
    people_file,
    remove_person,
)

PASSWORD = "a-canary-word"  # noqa: S105 - of the tests


def test_a_person_is_known_by_the_password_alone(tmp_path):
    """Which is nowhere on the disk; the file is its owner's."""
    people = People(tmp_path)
    assert not people.know("ada", PASSWORD)

    assert add_person(tmp_path, "ada", PASSWORD)

    assert people.know("ada", PASSWORD)
    assert not people.know("ada", PASSWORD + " ")
    assert not people.know("grace", PASSWORD)
    file = people_file(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text(encoding="utf-8")


def test_another_password_is_another_sign_and_a_person_who_is_gone_has_none(tmp_path):
    """By which sessions end, in a process that had read the people before."""
    people = People(tmp_path)
    add_person(tmp_path, "ada", PASSWORD)
    before = people.sign("ada")

    assert not add_person(tmp_path, "ada", "another-long-word")

    assert people.sign("ada") not in ("", before)
    add_person(tmp_path, "grace", PASSWORD)
    assert names(tmp_path) == ("ada", "grace")
    remove_person(tmp_path, "ada")
    assert (people.sign("ada"), names(tmp_path)) == ("", ("grace",))


@pytest.mark.parametrize("name", ["", "kingmaker", "a b", "../ada", "ada\n", "a" * 65])
def test_a_name_that_cannot_be_told_apart_is_refused(tmp_path, name):
    """Nothing is written."""
    with pytest.raises(PersonError, match="expected a name"):
        add_person(tmp_path, name, PASSWORD)
    assert not people_file(tmp_path).exists()


def test_a_short_password_and_a_person_who_is_not_there_are_refused(tmp_path):
    """By name."""
    with pytest.raises(PersonError, match="at least 12 characters, found 5"):
        add_person(tmp_path, "ada", "short")
    with pytest.raises(PersonError, match="ada: expected a person who may log in, found none"):
        remove_person(tmp_path, "ada")
