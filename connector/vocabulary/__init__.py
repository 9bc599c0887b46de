"""The names of states, kinds and outcomes that are stored and shown, and the one label each has for people."""
