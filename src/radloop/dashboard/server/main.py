"""The server: `streamlit run main.py -- --dataset DIR …` finds `app` here and serves it."""

from streamlit.starlette import App

from radloop.dashboard import serving

app = App(serving.PAGE, lifespan=serving.announce, routes=serving.routes(), middleware=serving.middleware())
