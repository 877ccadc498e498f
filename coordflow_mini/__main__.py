"""`python -m coordflow_mini` is `coordflow`."""

from coordflow_mini.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
