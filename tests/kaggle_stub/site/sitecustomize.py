"""Sends the unpatched kaggle command to the stub: Python imports this at its start when PYTHONPATH names its folder."""

import os

if address := os.environ.get("KAGGLE_STUB"):
    from kagglesdk import kaggle_env

    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = f"{address}/api"
