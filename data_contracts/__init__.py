"""What data must look like: contracts in the Open Data Contract Standard, and the code that reads
them.

Where do I go to change ...?

    *.odcs.yaml     the example's contract
    contract.py     the types that everything else uses: Contract, Column, Rule, Server
    odcs.py         how a file is read and held against the standard's own schema
    compiler.py     columns, keys, types and service levels as rules
    quality.py      the standard's quality entries as rules; limits.py: their operators
    servers.py      where the data comes from, and how secrets are referred to
    open_rows.py    what of a contract rows keep that are to be scored
    time_format.py  times that are written in a way of their own
    diff.py         what changed between two versions, and what it breaks
    errors.py       the base of every exception, with its exit code

This is the lowest layer: it imports nothing of tasks, flows or deployments.
"""
