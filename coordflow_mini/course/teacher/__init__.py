"""What instructors use: the list of exercises, what students hand in, and the report on a class.

Loads no PyTorch, so that `coordflow course report` starts at once.
"""
