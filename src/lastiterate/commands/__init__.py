"""The commands of ``lastiterate``, one module a topic; each imports its engine inside the command, to start fast."""
