"""Random command lines by the thousand, what each is held against, and what their failures have in common."""
