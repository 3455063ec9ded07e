"""What ``make bench`` runs, each file as a module: ``python -m benchmarks.drift``."""
