"""What is to be sent: entries, drafts, approvals."""
