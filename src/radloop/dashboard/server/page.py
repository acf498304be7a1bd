"""The script that the server runs for every look at a page."""

from radloop.dashboard import app, serving

if __name__ == "__main__":  # what Streamlit calls a script that it runs
    app.main(serving.options())
