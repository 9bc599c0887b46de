"""Who may sign in: users, sessions, passwords, passkeys, single sign-on, API tokens."""
