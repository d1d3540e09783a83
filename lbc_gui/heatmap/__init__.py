"""Pictures of coloured cells: zoom, labels, legends, and the list of layers."""
