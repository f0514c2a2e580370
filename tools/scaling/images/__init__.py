"""Two images of any size compared: statistics, peaks, pictures, the kind of difference."""
