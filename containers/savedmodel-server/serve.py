"""Entry point: `python serve.py --model-dir DIR`; see README.md."""

import os
import sys

from savedmodel_server.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
