"""The one diff engine: every delta, ulp distance and statistic is computed here."""
