"""The page of a run in a browser: what it offers, what its buttons compute, and its layout."""
