"""Small experiments that only the notebooks show."""
