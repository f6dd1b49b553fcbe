"""City files and generators to scenarios."""
