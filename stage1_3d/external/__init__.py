"""Networks of others: what each family's files hold, and how it looks at an item."""
