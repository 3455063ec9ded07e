"""Where served predictions are delivered: a table in a database, or files at an address."""
