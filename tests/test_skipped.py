"""What a run of the tests left out is said, and fails where nothing may be left out."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TWO_OF_THREE = """
import pytest

@pytest.mark.skipif(True, reason="no lantern: apt-get install lantern")
def test_needs_a_lantern(): ...

def test_needs_a_ladder():
    pytest.skip("no ladder")

def test_runs(): ...
"""


@pytest.fixture(autouse=True)
def _only_these_plugins(monkeypatch):
    """The installed plugins take a second to import, which a run of two lines need not wait for."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def _run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "tests.skipped", *arguments)


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")])
def test_left_out_tests_are_told_in_one_line(pytester, monkeypatch, workers):
    """Number and reasons stand at the end, in one process and in several; the run is green."""
    monkeypatch.delenv("KINGMAKER_NO_SKIPS", raising=False)
    pytester.makepyfile(TWO_OF_THREE)

    result = _run(pytester, *workers)

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["left out 2 tests: no ladder (1); no lantern: apt-get install lantern (1)"]
    )


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")])
def test_left_out_tests_fail_the_run_where_none_may_be(pytester, monkeypatch, workers):
    """With KINGMAKER_NO_SKIPS=1 the same run ends like one with a failed test."""
    monkeypatch.setenv("KINGMAKER_NO_SKIPS", "1")
    pytester.makepyfile(TWO_OF_THREE)

    result = _run(pytester, *workers)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["failed, since KINGMAKER_NO_SKIPS is set: left out 2 tests: *"])


def test_whole_file_that_is_left_out_counts(pytester, monkeypatch):
    """A file that skips itself when it is collected is told as one."""
    monkeypatch.setenv("KINGMAKER_NO_SKIPS", "1")
    pytester.makepyfile(
        test_whole="import pytest\npytest.importorskip('no_such_library')",
        test_other="def test_runs(): ...",
    )

    result = _run(pytester)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*left out 1 tests: could not import 'no_such_library'*"])


def test_run_that_left_nothing_out_says_nothing(pytester, monkeypatch):
    """Where every test ran, the variable changes nothing."""
    monkeypatch.setenv("KINGMAKER_NO_SKIPS", "1")
    pytester.makepyfile("def test_runs(): ...")

    result = _run(pytester)

    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*left out*")
