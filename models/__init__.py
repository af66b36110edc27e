"""The catalogue: model cards and built-in weights, installed as data without code."""
