"""Programs that compute relevance maps, behind one interface."""
