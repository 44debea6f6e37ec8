"""Pixel features: native maps of a frozen network, and vectors interpolated from them."""
