"""One test for each kind of bad data, through the real way in.

Where do I go to change ...?

    shop.py         delivers a bad day, then a good one
    test_table.py   bad rows and columns
    test_files.py   bad files

A new kind of fault gets a test here first.
"""
