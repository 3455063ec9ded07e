"""Writes the reference pages and the JSON Schemas from the code: ``make reference``.

Where do I go to change ...?

    model_spec.py   the page and the schema of model specs, from the types of the configuration
    contract.py     the page and the schema of the contract keys that are read
    commands.py     the page of commands and exit codes, from the command line itself
    pages.py        how a table or a type is written in Markdown
    __main__.py     which file each of them writes

The result is committed; a test fails when it is not what the code gives.
"""
