"""What a run will take before it is run: memory, time and disk, and the settings that suit a machine."""
