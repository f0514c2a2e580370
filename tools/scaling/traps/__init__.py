"""Pairs of files whose right verdict is known, judged by our comparisons and by the tools that people use today."""
