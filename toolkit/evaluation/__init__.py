"""Are the maps right: clips cut in two by their relevance, to be heard and scored. Arrays in, arrays out."""
