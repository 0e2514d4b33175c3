"""Stage one in scroll space, on traced segments."""
