"""Episodes of clicks and answers turned into weights."""
