"""The memory guard: it runs a command within a memory limit, says why the command died, and leaves none running."""
