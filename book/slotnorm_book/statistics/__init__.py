"""Intervals and summaries over runs and scenes."""
