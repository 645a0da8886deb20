"""Measurements of speed and accuracy as ratios within one run, printed as tables and written as CSV."""
