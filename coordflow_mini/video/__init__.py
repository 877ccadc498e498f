"""Video files: reading and writing, raw frames, generated scenes and the catalog of named clips."""
