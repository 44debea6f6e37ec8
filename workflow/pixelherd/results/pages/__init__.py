"""Tables as people read them."""
