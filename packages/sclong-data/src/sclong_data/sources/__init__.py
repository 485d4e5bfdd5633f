"""Where data sets come from: public archives and folders."""
