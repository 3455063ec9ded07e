"""The judgement of a batch by its contract: accept, accept with quarantine, or refuse.

Where do I go to change ...?

    verdict.py       the order: schema, then rules, then quarantine
    expectations.py  rules as Great Expectations; custom_rule.py: expectations by name
    scan.py          the same rules as one SQL scan; sql_rule.py: rules that are queries
    crosscheck.py    both engines side by side, which must agree
    formats.py       rules that Great Expectations has no expectation for
    gx_import.py     how it is imported; neutral.py: names under which it is given the columns
    config.py        what a spec may say of validation
    dry_run.py       rules compiled without data, for ``kingmaker check``

A new kind of rule is compiled in data_contracts, and needs a form in both engines here.
"""
