"""Notebooks as web pages through Voilà, with a page that asks no other machine for anything."""
