"""The reports: what is owed, how soon it comes, what reminders do; every figure is defined in docs/reports.md."""
