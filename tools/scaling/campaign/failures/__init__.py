"""What fails: groups, the smallest case of each, and the golden case that it becomes."""
