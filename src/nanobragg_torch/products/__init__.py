"""What is made of an experiment and its image: traces, statistics, noise and image files."""
