"""Cases: a set of flags, its traced pixels and its known figures."""
