"""The reminder policy: facts and a moment in, decisions with reasons out; no clock, no I/O, standard library only."""
