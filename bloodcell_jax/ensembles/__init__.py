"""How networks become one answer: averaged, boosted, stacked; all of it from their probabilities."""
