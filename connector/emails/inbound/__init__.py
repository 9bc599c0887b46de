"""What comes back by email: replies, delivery events, unsubscribes."""
