"""What every package of the automation stands on: errors, files, git, text, and what evidence must not tell."""
