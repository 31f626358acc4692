"""One converter per public data set or kind of source, each from its official layout to a datalist."""
