"""The work of a campaign: workers, shards, and the store that keeps their results."""
