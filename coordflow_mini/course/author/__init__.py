"""Tools for authors: from chapter sources to notebooks, trained files, tables and running times."""
