"""The dashboard, by the path that users know: `streamlit run data_dashboard.py`, or python instead of streamlit."""

import sys

from streamlit.starlette import App

from radloop import cli
from radloop.dashboard import serving

app = App(serving.PAGE, lifespan=serving.announce, routes=serving.routes(), middleware=serving.middleware())

if __name__ == "__main__":
    cli.main(["dashboard", *sys.argv[1:]])
