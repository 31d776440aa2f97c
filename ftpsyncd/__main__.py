"""`python -m ftpsyncd` is the same as `ftpsyncd` (`bin/ftpsyncd`)."""

import os

if __name__ == "__main__":
    try:
        from ftpsyncd.cli import main

        main()
    except KeyboardInterrupt:
        os._exit(130)
