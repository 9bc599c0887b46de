"""The commands: what `duewell ...` says and does, a file for each group."""
