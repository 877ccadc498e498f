"""Showing results: plots, pages and widgets."""
