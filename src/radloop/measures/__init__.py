"""Tables to numbers: no drawing, no disk. The dashboard and `--json` show what these functions return."""
