"""What leaves by mail and what comes back: letters, digests, replies, stops, addresses that get nothing."""
