"""``/api/v1``: what people do on the pages and at the terminal, for programs; its own description is beside it."""
