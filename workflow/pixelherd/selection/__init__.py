"""Which pixels a round asks for: coverage, scores, and rules."""
