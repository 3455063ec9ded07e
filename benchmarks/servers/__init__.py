"""Homes and servers for the benchmarks.

Where do I go to change ...?

    home.py   a generated project with the product's own servers
    past.py   years of past runs, copied into the servers' databases

benchmarks/load.py and benchmarks/scheduled.py use them.
"""
