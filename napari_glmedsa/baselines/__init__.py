"""Automatic segmentation to compare with: networks and two classics, without clicks."""
