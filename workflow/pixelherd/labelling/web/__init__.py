"""The page's server: who may ask, what is asked, and the command that starts it."""
