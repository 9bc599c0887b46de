"""What people ask and do, for web, API and command line alike."""
