"""The long-running process: web server and scheduler."""
