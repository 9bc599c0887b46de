"""Emails to customers and account owners, and what comes back."""
