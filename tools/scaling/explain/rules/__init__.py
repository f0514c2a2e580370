"""How each traced quantity follows from those before it."""
