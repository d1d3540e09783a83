"""What is drawn of scores and masks, as arrays. Imports neither torch nor Qt."""
