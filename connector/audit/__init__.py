"""The sync log: its lines, its hash chain, and what a run did in plain sentences."""
