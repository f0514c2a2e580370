"""All golden cases through the port, judged pixel by pixel."""
