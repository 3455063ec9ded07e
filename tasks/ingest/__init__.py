"""From source files to immutable snapshots."""
