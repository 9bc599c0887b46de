"""The list pages: one page for all of them, and a module for each with its columns and actions."""
