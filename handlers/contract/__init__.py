"""What stacks, handlers, the command line and clients agree on. Standard library only."""
