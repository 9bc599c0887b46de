"""The customer portal: what customers see and report there, behind a link and without signing in."""
