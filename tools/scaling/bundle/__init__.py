"""The evidence bundle of a run: its files, seal, signature, verification and history."""
