"""Whether a study can run, before anything runs."""
