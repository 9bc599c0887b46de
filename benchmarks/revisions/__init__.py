"""Two revisions of the product side by side: the parts of `python -m benchmarks.against`."""
