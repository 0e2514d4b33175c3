"""Is it ink: figures of what members say of a sheet and of its copies, and what follows from them in plain words."""
