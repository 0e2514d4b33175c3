"""The training loop and all that it uses; knows no particular model."""
