"""Betti matching of two masks: which components, tunnels and cavities correspond."""
