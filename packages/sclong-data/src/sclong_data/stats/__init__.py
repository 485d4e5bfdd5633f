"""What is in a corpus, as a page for people to look at."""
