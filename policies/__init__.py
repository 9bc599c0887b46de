"""The reminder policy: facts and an instant in, decisions with reasons out; no clock and no I/O."""
