"""What leaves this repository: `make release` builds it, and says what is in it and under which licences."""
