"""Files that survive a power cut: replaced whole, locked, appended to; and the shipped ones."""
