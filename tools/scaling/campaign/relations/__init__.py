"""What has to be the same whatever the reference computes: relations between images of the port, each a check."""

from tools.scaling.campaign.relations import order, sums, turns, units
from tools.scaling.campaign.relations.pair import RELATIONS

__all__ = ["RELATIONS", "order", "sums", "turns", "units"]
