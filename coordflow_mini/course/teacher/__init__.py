"""Reports on a class: the list of exercises, the files of students, and their summary.

Loads no PyTorch, so that `coordflow course report` starts at once.
"""
