"""Published scrolls by name: catalogues of volumes, segments, surface volumes and labels, and folders made of what they name."""
