"""From the maps of clips to statements about classes."""
