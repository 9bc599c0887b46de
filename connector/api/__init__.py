"""``/api/v1``: what people do on the pages and at the command line, for programs, with its OpenAPI document."""
