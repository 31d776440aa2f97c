"""`python -m ftpsyncd` is the same as `ftpsyncd`."""

from ftpsyncd.cli import main

if __name__ == "__main__":
    main()
