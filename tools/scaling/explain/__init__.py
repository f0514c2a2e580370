"""The cause of a difference, by quantity and share, from two traces."""
