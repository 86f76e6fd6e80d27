"""Where clips come from: catalogues and sound files."""
