"""The fault campaign: hours that are killed, cut off, overtaken and put back, thousands of times, and what holds."""
