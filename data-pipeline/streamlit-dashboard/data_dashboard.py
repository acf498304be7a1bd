"""The dashboard, by the path that users know: `streamlit run data_dashboard.py`, or python instead of streamlit."""

import sys

from streamlit import runtime

from radloop import cli, settings
from radloop.dashboard import app
from radloop.dashboard.inputs import Inputs

if __name__ == "__main__":
    if runtime.exists():
        chosen = settings.load()
        app.main(Inputs.parse(sys.argv[1:], **chosen.loop_parts, seed=chosen.seed))
    else:
        cli.main(["dashboard", *sys.argv[1:]])
