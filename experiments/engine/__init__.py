"""How tasks run: fingerprints, the ledger of what they found, processes and hosts, what a command says meanwhile."""
