"""What the server is made of: apart from pages/, which it would take for a menu of its own."""
