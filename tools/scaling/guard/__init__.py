"""The memory guard: no run dies of an unexplained SIGKILL, and none outlives its guard."""
