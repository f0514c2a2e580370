"""Where other comparison tools say equal and the values are not."""
