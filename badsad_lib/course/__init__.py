"""What belongs to the book: claims, exercise checkers, and what comes ready-made with it."""
