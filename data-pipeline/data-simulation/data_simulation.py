"""The simulator under the name and with the environment variables that its users know; all of it is `radloop simulate`.

RCLONE_CONTAINER, TRITON_URL, LOAD_PATTERN, DELAY_BETWEEN_STEPS, REQUEST_TIMEOUT, FEEDBACK_DIR and LOG_FILE; what else
there is to set is in docs/settings.md.
"""

from radloop.cli import main

if __name__ == "__main__":
    main(["simulate"])
