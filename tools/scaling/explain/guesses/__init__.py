"""What could have made a defect: known variants, other flag values, simple forms."""
