"""What was agreed with customers and what is to be done about it: settings, promises, plans, disputes, tasks."""
