"""Numbers to pictures: a Streamlit app over what radloop has written. Pages draw; `measures` computes."""
