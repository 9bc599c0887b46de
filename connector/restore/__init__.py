"""Backup and restore, and noticing a database that went back in time."""
