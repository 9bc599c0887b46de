"""Measurements, run by hand or by `make bench`; no part of what is installed."""
