"""The customer's own page: what he owes, how to pay, and what he answers; behind a link, without signing in."""
