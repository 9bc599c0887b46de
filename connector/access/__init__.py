"""Who may do what: companies connected, their tokens, the people who sign in."""
