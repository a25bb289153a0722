"""Executing notebooks, offline pages, the README's pictures."""
