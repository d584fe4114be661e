"""What people do: to stores and their options, deliveries, issuances, keys and the ledger as a whole."""
