"""The dashboard, by the path that users know: `streamlit run data_dashboard.py`, or python instead of streamlit."""

import sys

from streamlit import runtime

from radloop import cli, settings
from radloop.dashboard import app
from radloop.options import Dashboard

if __name__ == "__main__":
    if runtime.exists():
        app.main(settings.parse(Dashboard, sys.argv[1:]))
    else:
        cli.main(["dashboard", *sys.argv[1:]])
