"""What every room stands on: errors, files, git, and what evidence must not tell."""
