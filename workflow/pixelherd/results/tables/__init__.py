"""Tables of finished runs, with every digit."""
