"""The reference's command line: the table of flags, and how they become a Config."""
