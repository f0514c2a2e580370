"""The numbered steps of the parity procedure, and what runs them."""
