"""Tools for people at a terminal: the doctor, the token explorer, files for lmms-eval."""
