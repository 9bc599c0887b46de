"""How outbox entries are sent, retried, recovered and confirmed."""
