"""Runs that are killed at each of their writes, and servers that die: ``make crash``.

Where do I go to change ...?

    writes.py           finds every write of a run, and kills before one
    driver.py           a warm process that forks for each case
    proxy.py            cuts, delays or hangs a connection
    state.py            what must be the same in the end
    test_*.py           one file a kind of failure
"""
