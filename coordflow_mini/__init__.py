"""coordflow_mini"""

__version__ = "0.1.0"
