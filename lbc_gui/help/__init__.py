"""What the window says about itself: words, shortcuts, a tour, a first explanation."""
