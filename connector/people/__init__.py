"""What people see and say: customers, invoices, tasks, promises, fees, plans, explanations."""
