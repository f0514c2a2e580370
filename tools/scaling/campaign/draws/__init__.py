"""The parts of a random command line: each module draws the flags of one part of the experiment."""
