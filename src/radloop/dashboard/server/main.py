"""The script that the server runs for every look at a page: `streamlit run main.py -- --dataset DIR …`."""

import sys

from radloop import settings
from radloop.dashboard import app
from radloop.options import Dashboard

if __name__ == "__main__":  # what Streamlit calls a script that it runs
    app.main(settings.parse(Dashboard, sys.argv[1:]))
