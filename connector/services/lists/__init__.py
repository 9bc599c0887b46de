"""Lists that people sort, filter, total and act on: one small engine, and one module for each list."""
