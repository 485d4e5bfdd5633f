"""Labels carried from study to study: how well, and how surely."""
