"""What `streamlit run` is given: apart from pages/, which it would take for a menu of its own."""
