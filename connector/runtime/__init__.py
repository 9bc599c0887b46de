"""What one sync run holds: its context, its lease, its call budget."""
