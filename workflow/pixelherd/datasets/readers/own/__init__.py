"""A user's own images: what their folders hold and leave out, and what makes one doubt their masks."""
