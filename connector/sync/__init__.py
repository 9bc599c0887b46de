"""Reading the ledgers: pull, reconcile, webhook inbox and the mirror."""
