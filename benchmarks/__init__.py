"""What ``make bench`` runs: each file with a ``main`` is run as a module, ``python -m benchmarks.drift``."""
