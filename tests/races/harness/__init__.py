"""The race harness: two decisions at a time, interleaved at every statement, on both databases."""
