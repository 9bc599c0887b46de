"""Reports on receivables, payments, reminders and fees; docs/reports.md defines every figure."""
