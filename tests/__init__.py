"""The tests. They mirror the source: what tests tasks/drift/profile.py is in tests/tasks/drift.

Where do I go to change ...?

    data_contracts, tasks, flows, deployments, benchmarks   one file a module
    bad_data         a test for each kind of bad data
    crash            runs that are killed, cut off and overtaken: ``make crash``
    projects         complete projects beside the built-in one
    test_docs.py     what the documentation shows is what the code takes
    conftest.py      homes, servers and fixtures for all
"""
