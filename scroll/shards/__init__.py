"""Whole volumes in shard-sized pieces, with a ledger: what is done is done, whoever is killed. Knows no model and no stage."""
