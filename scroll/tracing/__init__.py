"""From predicted probabilities to sheets: ridges found, grown into height maps, holes bridged."""
