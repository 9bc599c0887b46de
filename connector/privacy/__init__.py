"""What is held about one customer, given to him or erased on request; and how long what is held is kept."""
