"""What has to be the same whatever the reference computes: relations between images of the port, each a check."""

from tools.scaling.campaign.relations import factors, lists, order, sums, turns, units, words
from tools.scaling.campaign.relations.pair import RELATIONS

__all__ = ["RELATIONS", "factors", "lists", "order", "sums", "turns", "units", "words"]
