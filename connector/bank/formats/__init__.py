"""Readers of bank statement files: bytes in, typed lines out, or an error that names the line and the reason."""
