"""Files, receipts, locks, processes and ends: what every command stands on; knows no data and no torch."""
