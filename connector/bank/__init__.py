"""Bank statements as a witness: money that arrived and is not booked yet holds reminders and fees."""
