"""From a probability volume to the mask of sheets that is submitted, step by step."""
