"""Video files: reading, writing, raw frames and the clips that come with the package."""
