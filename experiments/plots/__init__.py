"""Every picture, one file an idea, in one style."""
