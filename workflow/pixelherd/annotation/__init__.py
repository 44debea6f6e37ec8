"""A person as the oracle: pages to label with, their answers, exchange with labelling tools, when to stop."""
