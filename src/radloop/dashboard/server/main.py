"""The script that the server runs for every look at a page: `streamlit run main.py -- --dataset DIR …`."""

import sys

from radloop.dashboard import app
from radloop.dashboard.inputs import Inputs

if __name__ == "__main__":  # what Streamlit calls a script that it runs
    app.main(Inputs.parse(sys.argv[1:]))
