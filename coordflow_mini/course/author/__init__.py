"""What builds the course: chapter sources, notebooks, trained files, tables, and reading times."""
