"""What a browser sees: the consent callback, the status page, health and metrics."""
