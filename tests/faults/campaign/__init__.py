"""The fault campaign: syncs are killed, cut off, overtaken and restored, thousands of times, and invariants checked."""
