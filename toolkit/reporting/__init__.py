"""Pages: what is on them, figures, rendering."""
