"""How results came about, and what they cost."""
